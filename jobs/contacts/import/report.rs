//! The report of bad rows: a CSV file like the one that was read, with what is wrong behind it. Mended, it can be
//! imported as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use csv::{ByteRecord, Writer, WriterBuilder};

use super::row::{Fault, harmless};

/// The columns behind those of the file.
const OWN: [&str; 3] = ["import_line", "import_field", "import_reason"];

/// The report of one run.
#[derive(Debug)]
pub(super) struct Report {
    file: File,
    delimiter: u8,
    length: u64,
}

impl Report {
    /// Begins a report with the names of the columns.
    pub(super) fn begin(path: &Path, columns: &[String], delimiter: u8) -> io::Result<Self> {
        let file = File::create(path)?;
        let mut report = Self { file, delimiter, length: 0 };
        let own = OWN.iter().map(|name| (*name).to_owned());
        // Those of a report that is imported again are not told twice.
        let theirs = columns.iter().filter(|column| !OWN.contains(&column.as_str())).cloned();
        report.append(std::iter::once(theirs.chain(own).collect::<Vec<_>>()))?;
        Ok(report)
    }

    /// Goes on with a report of this length; what stands behind it belongs to nothing that was committed.
    pub(super) fn go_on(path: &Path, delimiter: u8, length: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() < length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the report is shorter than it was"));
        }
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, delimiter, length })
    }

    /// Adds rows, and has them on the disk when it returns.
    pub(super) fn add(&mut self, columns: &[String], faults: &[(u64, ByteRecord, Fault)]) -> io::Result<()> {
        if faults.is_empty() {
            return Ok(());
        }
        self.append(faults.iter().map(|(line, record, fault)| {
            let kept = |at: usize| columns.get(at).is_none_or(|column| !OWN.contains(&column.as_str()));
            let cells = record.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, cell)| cell);
            let mut cells: Vec<String> = cells.map(|cell| harmless(&String::from_utf8_lossy(cell))).collect();
            // A row with too few or too many cells has its reason where the others have theirs.
            let width = columns.iter().filter(|column| !OWN.contains(&column.as_str())).count();
            cells.resize(width, String::new());
            cells.extend([line.to_string(), harmless(&fault.column), fault.reason.clone()]);
            cells
        }))
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    fn append(&mut self, rows: impl Iterator<Item = Vec<String>>) -> io::Result<()> {
        let mut writer: Writer<Vec<u8>> =
            WriterBuilder::new().delimiter(self.delimiter).from_writer(Vec::new());
        for row in rows {
            writer.write_record(&row).map_err(io::Error::other)?;
        }
        let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}
