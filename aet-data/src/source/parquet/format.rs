//! The structs of Parquet's metadata, as far as the parquet crate knows their fields.
//!
//! Source: <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>

use super::thrift::Shape::{self, Fields, Is, ListOf};
use super::thrift::{BINARY, BOOLEAN, BYTE, DOUBLE, I16, I32, I64};

type Struct = &'static [(i16, Shape)];

/// The footer.
pub(super) const FILE_METADATA: Struct = &[
    (1, Is(I32)),
    (2, ListOf(&Fields(SCHEMA_ELEMENT))),
    (3, Is(I64)),
    (4, ListOf(&Fields(ROW_GROUP))),
    (5, ListOf(&Fields(KEY_VALUE))),
    (6, Is(BINARY)),
    (7, ListOf(&Fields(COLUMN_ORDER))),
    (8, Fields(&[])),
    (9, Is(BINARY)),
];

/// Before every page.
pub(super) const PAGE_HEADER: Struct = &[
    (1, Is(I32)),
    (2, Is(I32)),
    (3, Is(I32)),
    (4, Is(I32)),
    (5, Fields(DATA_PAGE)),
    (6, Fields(&[])),
    (7, Fields(&[(1, Is(I32)), (2, Is(I32)), (3, Is(BOOLEAN))])),
    (8, Fields(DATA_PAGE_V2)),
];

const SCHEMA_ELEMENT: Struct = &[
    (1, Is(I32)),
    (2, Is(I32)),
    (3, Is(I32)),
    (4, Is(BINARY)),
    (5, Is(I32)),
    (6, Is(I32)),
    (7, Is(I32)),
    (8, Is(I32)),
    (9, Is(I32)),
    (10, Fields(LOGICAL_TYPE)),
];

const LOGICAL_TYPE: Struct = &[
    (1, Fields(&[])),
    (2, Fields(&[])),
    (3, Fields(&[])),
    (4, Fields(&[])),
    (5, Fields(&[(1, Is(I32)), (2, Is(I32))])),
    (6, Fields(&[])),
    (7, Fields(TIME)),
    (8, Fields(TIME)),
    (10, Fields(&[(1, Is(BYTE)), (2, Is(BOOLEAN))])),
    (11, Fields(&[])),
    (12, Fields(&[])),
    (13, Fields(&[])),
    (14, Fields(&[])),
    (15, Fields(&[])),
    (16, Fields(&[(1, Is(BYTE))])),
    (17, Fields(&[(1, Is(BINARY))])),
    (18, Fields(&[(1, Is(BINARY)), (2, Is(I32))])),
];

const TIME: Struct = &[(1, Is(BOOLEAN)), (2, Fields(TIME_UNIT))];

const TIME_UNIT: Struct = &[(1, Fields(&[])), (2, Fields(&[])), (3, Fields(&[]))];

const COLUMN_ORDER: Struct = &[(1, Fields(&[])), (2, Fields(&[]))];

const KEY_VALUE: Struct = &[(1, Is(BINARY)), (2, Is(BINARY))];

const ROW_GROUP: Struct = &[
    (1, ListOf(&Fields(COLUMN_CHUNK))),
    (2, Is(I64)),
    (3, Is(I64)),
    (4, ListOf(&Fields(SORTING_COLUMN))),
    (5, Is(I64)),
    (6, Is(I64)),
    (7, Is(I16)),
];

const SORTING_COLUMN: Struct = &[(1, Is(I32)), (2, Is(BOOLEAN)), (3, Is(BOOLEAN))];

const COLUMN_CHUNK: Struct = &[
    (1, Is(BINARY)),
    (2, Is(I64)),
    (3, Fields(COLUMN_METADATA)),
    (4, Is(I64)),
    (5, Is(I32)),
    (6, Is(I64)),
    (7, Is(I32)),
    (8, Fields(&[])),
    (9, Is(BINARY)),
];

const COLUMN_METADATA: Struct = &[
    (1, Is(I32)),
    (2, ListOf(&Is(I32))),
    (3, ListOf(&Is(BINARY))),
    (4, Is(I32)),
    (5, Is(I64)),
    (6, Is(I64)),
    (7, Is(I64)),
    (8, ListOf(&Fields(KEY_VALUE))),
    (9, Is(I64)),
    (10, Is(I64)),
    (11, Is(I64)),
    (12, Fields(STATISTICS)),
    (
        13,
        ListOf(&Fields(&[(1, Is(I32)), (2, Is(I32)), (3, Is(I32))])),
    ),
    (14, Is(I64)),
    (15, Is(I32)),
    (16, Fields(SIZE_STATISTICS)),
    (
        17,
        Fields(&[(1, Fields(BOUNDING_BOX)), (2, ListOf(&Is(I32)))]),
    ),
];

const STATISTICS: Struct = &[
    (1, Is(BINARY)),
    (2, Is(BINARY)),
    (3, Is(I64)),
    (4, Is(I64)),
    (5, Is(BINARY)),
    (6, Is(BINARY)),
    (7, Is(BOOLEAN)),
    (8, Is(BOOLEAN)),
    (9, Is(I64)),
];

const SIZE_STATISTICS: Struct = &[(1, Is(I64)), (2, ListOf(&Is(I64))), (3, ListOf(&Is(I64)))];

const BOUNDING_BOX: Struct = &[
    (1, Is(DOUBLE)),
    (2, Is(DOUBLE)),
    (3, Is(DOUBLE)),
    (4, Is(DOUBLE)),
    (5, Is(DOUBLE)),
    (6, Is(DOUBLE)),
    (7, Is(DOUBLE)),
    (8, Is(DOUBLE)),
];

const DATA_PAGE: Struct = &[
    (1, Is(I32)),
    (2, Is(I32)),
    (3, Is(I32)),
    (4, Is(I32)),
    (5, Fields(STATISTICS)),
];

const DATA_PAGE_V2: Struct = &[
    (1, Is(I32)),
    (2, Is(I32)),
    (3, Is(I32)),
    (4, Is(I32)),
    (5, Is(I32)),
    (6, Is(I32)),
    (7, Is(BOOLEAN)),
    (8, Fields(STATISTICS)),
];
