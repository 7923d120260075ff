//! Files of people on their way in: any size in the memory of one batch, every bad row told with its line, field and
//! reason, and a run that was killed goes on where it stopped.
//!
//! A batch and the place after it are one transaction, and the report of bad rows is on the disk before it commits. So
//! after a crash the row of the import says where to read on and how long the report was; what stands
//! behind that length is of a batch that was not committed, and is cut off. The same file read the same way finds its
//! row by a fingerprint. Two processes at one import: the place moves only from where it was read, so one of them stops.

mod columns;
mod reader;
mod report;
mod row;
mod run;
mod table;

pub use columns::{ColumnsError, Mapping, Target};
pub use reader::ReadError;
pub use row::harmless;
pub use run::{ImportError, Options, Progress, import};
pub(super) use table::STATEMENTS;
pub use table::{ImportRow, list};
