//! Raw pixels and numbers on disk: NumPy, MATLAB, planes by column.

use std::io::Write;

use aet_geometry::RgbImage;

/// A `.npy` file of version 1 in C order.
pub fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    npy_of(
        &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}"),
        data,
    )
}

/// A `.npy` file of version 1 with any header.
pub fn npy_of(header: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// `[3, width, height]`, as STL-10 and MATLAB have it.
pub fn planes_by_column(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    for channel in 0..3 {
        for column in 0..image.width() {
            bytes.extend((0..image.height()).map(|row| image.pixel(row, column)[channel]));
        }
    }
    bytes
}

/// A MATLAB file of version 5 with these elements.
pub fn mat_file(elements: &[u8]) -> Vec<u8> {
    let mut file = format!("{:<124}", "MATLAB 5.0 MAT-file").into_bytes();
    file.extend([0, 1, b'I', b'M']);
    file.extend(elements);
    file
}

/// An array of `class` whose data is of type `kind`.
pub fn mat_array(name: &str, class: u32, shape: &[u32], kind: u32, data: Vec<u8>) -> Vec<u8> {
    let shape = shape
        .iter()
        .flat_map(|length| length.to_le_bytes())
        .collect();
    let content = [
        mat_element(6, [class.to_le_bytes(), [0; 4]].concat()),
        mat_element(5, shape),
        mat_element(1, name.as_bytes().to_vec()),
        mat_element(kind, data),
    ];
    mat_element(14, content.concat())
}

/// A compressed element.
pub fn mat_compressed(element: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(element).unwrap();
    let packed = packer.finish().unwrap();
    [
        &15u32.to_le_bytes()[..],
        &(packed.len() as u32).to_le_bytes(),
        &packed,
    ]
    .concat()
}

fn mat_element(kind: u32, data: Vec<u8>) -> Vec<u8> {
    let length = data.len();
    let mut element = if (1..=4).contains(&length) {
        (kind | (length as u32) << 16).to_le_bytes().to_vec()
    } else {
        [kind.to_le_bytes(), (length as u32).to_le_bytes()].concat()
    };
    element.extend(data);
    element.resize(element.len().next_multiple_of(8), 0);
    element
}
