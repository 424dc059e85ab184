//! Protocols: how an encoder is judged, as data. A protocol names the probes, how they are trained
//! and chosen, the labels, the seeds, and the bounds beside which a figure means something: the
//! random encoder below, the same network trained with labels above.
//!
//! [`config`] reads one, [`run`] carries it out piece by piece, [`record`] keeps what was found so
//! that it can be gone on with, compared and put into tables.

pub mod config;
pub mod record;
pub mod run;

pub use config::{EncoderKind, Protocol, ProtocolConfig, Published};
pub use record::{Piece, ProtocolRecord, ProtocolResult, Subject};
pub use run::{Progress, ProtocolRun};
