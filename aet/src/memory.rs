//! Amounts of memory: as a user writes them, and as this process uses it.

use std::str::FromStr;

use aet_learn::Device;
use aet_learn::memory::{Holding, held};

use crate::table::text_list;

/// An amount of memory on the command line, such as `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// In bytes.
    pub bytes: usize,
}

/// The units, each a power of 1024.
const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text} is no amount of memory, such as 512MiB or 2GiB");
        let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit));
        let (unit, shift) = unit.ok_or_else(wrong)?;
        let number = text[..text.len() - unit.len()].trim();
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * (1_u64 << shift) as f64;
        if !(bytes >= 1.0 && bytes < 2_f64.powi(60)) {
            return Err(wrong());
        }
        Ok(Self {
            bytes: bytes as usize,
        })
    }
}

/// `bytes` in whole MiB, rounded up.
pub fn in_mib(bytes: usize) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

/// What training holds, a line each.
pub fn held_text(holdings: &[Holding]) -> String {
    let lines = holdings.iter().map(|Holding { what, place, bytes }| {
        (what.to_string(), format!("{:>8}  {place}", in_mib(*bytes)))
    });
    text_list(&lines.collect::<Vec<_>>())
}

/// What devices hold, and the most that this process has had in use.
pub fn used_text(devices: &[Device]) -> String {
    let mib = |bytes: u64| in_mib(usize::try_from(bytes).unwrap_or(usize::MAX));
    let mut lines = Vec::new();
    for (number, device) in devices.iter().enumerate() {
        if let Some([in_use, reserved]) = held(device) {
            let text = format!("{} in use of {} taken", mib(in_use), mib(reserved));
            lines.push((format!("device {number}"), text));
        }
    }
    if let Some(peak) = peak_mib() {
        lines.push(("this process".into(), format!("{peak:.0}MiB at most")));
    }
    text_list(&lines)
}

/// The most memory that this process has had in use, in MiB, where the system tells.
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!("2GiB".parse::<Size>().unwrap().bytes, 2 << 30);
        assert_eq!("1.5 MiB".parse::<Size>().unwrap().bytes, 3 << 19);
        for text in ["2", "GiB", "2GB", "-1GiB", "nanMiB", "1e99TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(in_mib((1 << 20) + 1), "2MiB");
    }
}
