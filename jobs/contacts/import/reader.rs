//! Records of a CSV file, one after another, whatever the file is: encoded as something else, without an end to its
//! lines, larger than memory. What is read of one record is bounded, and reading can begin in the middle.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, Position, ReaderBuilder, Terminator};
use thiserror::Error;

/// The most that one record may take. What is read ahead comes on top of it.
const MOST_BYTES: u64 = 256 << 10;
const BUFFER: usize = 64 << 10;
/// The most columns of a file.
const MOST_COLUMNS: usize = 200;
/// What of a file is looked at to tell what it is.
const HEAD: usize = 4 << 10;

/// Why a file cannot be read any further.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
    #[error("the file is empty")]
    Empty,
    #[error("this is no CSV file but {0}: save it as CSV in UTF-8")]
    NotCsv(&'static str),
    #[error("the record that begins in line {line} is longer than {} KiB: a quote may be open there", MOST_BYTES >> 10)]
    TooLong { line: u64 },
    #[error("the file has more than {MOST_COLUMNS} columns")]
    Columns,
    #[error("the first line, which names the columns, is not UTF-8")]
    Header,
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) byte: u64,
    pub(super) line: u64,
}

/// An open file. The first record names the columns.
#[derive(Debug)]
pub(super) struct Reader {
    csv: csv::Reader<Bounded>,
    left: Arc<AtomicU64>,
    /// Where the file ends, when its last line has no end.
    endless_at: u64,
    pub(super) columns: Vec<String>,
    pub(super) delimiter: u8,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let mut file = File::open(path)?;
        let mut head = vec![0; HEAD];
        let length = read_up_to(&mut file, &mut head)?;
        head.truncate(length);
        if let Some(kind) = not_csv(&head) {
            return Err(ReadError::NotCsv(kind));
        }
        let endless_at = endless_at(&mut file)?;
        file.rewind()?;
        let delimiter = delimiter_of(&head);
        let left = Arc::new(AtomicU64::new(0));
        let bounded = Bounded { file, left: Arc::clone(&left) };
        let csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            // The other way of ending lines, both bytes of it as one end, miscounts them.
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER)
            .from_reader(bounded);
        let mut reader = Self { csv, left, endless_at, columns: Vec::new(), delimiter };
        let mut header = ByteRecord::new();
        if reader.next(&mut header)?.is_none() {
            return Err(ReadError::Empty);
        }
        if header.len() > MOST_COLUMNS {
            return Err(ReadError::Columns);
        }
        let columns: Option<Vec<String>> = header
            .iter()
            .map(|cell| std::str::from_utf8(cell).ok().map(|name| name.trim().to_owned()))
            .collect();
        reader.columns = columns.ok_or(ReadError::Header)?;
        Ok(reader)
    }

    /// Reads the next record and tells the line it begins in; none at the end. Empty lines are no records.
    pub(super) fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, ReadError> {
        loop {
            let before = self.csv.position().line();
            self.left.store(MOST_BYTES + BUFFER as u64, Ordering::Relaxed);
            let read = self.csv.read_byte_record(record);
            let more = read.map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    ReadError::TooLong { line: before }
                }
                csv::ErrorKind::Io(error) => ReadError::Io(error),
                other => ReadError::Io(io::Error::other(format!("{other:?}"))),
            })?;
            if !more {
                return Ok(None);
            }
            if record.as_slice().len() as u64 > MOST_BYTES {
                return Err(ReadError::TooLong { line: before });
            }
            without_return(record);
            if record.len() > 1 || record.get(0).is_some_and(|cell| !cell.is_empty()) {
                let inside = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
                let ended = u64::from(self.csv.position().byte() != self.endless_at);
                return Ok(Some(self.csv.position().line().saturating_sub(inside + ended)));
            }
        }
    }

    /// Where the next record begins.
    pub(super) fn place(&self) -> Place {
        let position = self.csv.position();
        Place { byte: position.byte(), line: position.line() }
    }

    /// Goes on from a place that was told by [`place`](Self::place).
    pub(super) fn seek(&mut self, place: Place) -> Result<(), ReadError> {
        let mut position = Position::new();
        position.set_byte(place.byte).set_line(place.line);
        self.csv.seek(position).map_err(|error| ReadError::Io(io::Error::other(error)))
    }
}

/// A file that gives no more than is left.
#[derive(Debug)]
struct Bounded {
    file: File,
    left: Arc<AtomicU64>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.file.read(buffer)?;
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(read as u64), Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// The length of a file whose last line has no end; of another, a place that is in no file.
fn endless_at(file: &mut File) -> io::Result<u64> {
    let mut last = [0];
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(1)))?;
    let ends = read_up_to(file, &mut last)? == 1 && last == *b"\n";
    Ok(if ends { u64::MAX } else { length })
}

/// Takes off what is left of a line's end when lines end in two bytes.
fn without_return(record: &mut ByteRecord) {
    let last = record.len().saturating_sub(1);
    if record.get(last).is_some_and(|cell| cell.ends_with(b"\r")) {
        let cells: Vec<Vec<u8>> = record.iter().map(<[u8]>::to_vec).collect();
        record.clear();
        for (at, cell) in cells.iter().enumerate() {
            record.push_field(if at == last { &cell[..cell.len() - 1] } else { cell });
        }
    }
}

/// What a file is that is no CSV.
fn not_csv(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("text in UTF-16"),
        [b'P', b'K', 3, 4, ..] => Some("a spreadsheet or a ZIP archive"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some("an old spreadsheet"),
        [0x1f, 0x8b, ..] => Some("compressed"),
        [b'%', b'P', b'D', b'F', ..] => Some("a PDF document"),
        _ => head.contains(&0).then_some("binary data"),
    }
}

/// What stands between the cells: whichever is most frequent in the first line.
fn delimiter_of(head: &[u8]) -> u8 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    b",;\t|".iter().copied().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn open(content: &[u8]) -> Result<Reader, ReadError> {
        Reader::open(file(content).path())
    }

    fn rest(reader: &mut Reader) -> Vec<Vec<String>> {
        let mut records = Vec::new();
        let mut record = ByteRecord::new();
        while reader.next(&mut record).unwrap().is_some() {
            records.push(record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect());
        }
        records
    }

    #[test]
    fn marks_of_order_delimiters_and_quotes_are_understood() {
        let mut reader = open("\u{feff}phone;name\r\n1;\"a;\r\nb\"\r\n\r\n2;é\n".as_bytes()).unwrap();
        assert_eq!(reader.columns, ["phone", "name"]);
        assert_eq!(rest(&mut reader), [["1", "a;\r\nb"], ["2", "é"]]);
        assert_eq!(open(b"phone\tname\n").unwrap().columns, ["phone", "name"]);
        assert_eq!(open(b"phone\n").unwrap().columns, ["phone"]);
    }

    #[test]
    fn every_record_is_told_with_the_line_it_begins_in() {
        for end in ["\n", "\r\n"] {
            for last in ["", end] {
                let lines = ["phone,name", "", "1,a", "2,\"b", "c\"", "", "", "3,", "4,d"];
                let mut reader = open((lines.join(end) + last).as_bytes()).unwrap();
                let (mut told, mut record) = (Vec::new(), ByteRecord::new());
                while let Some(line) = reader.next(&mut record).unwrap() {
                    told.push((line, String::from_utf8_lossy(&record[0]).into_owned()));
                }
                let told: Vec<_> = told.iter().map(|(line, cell)| (*line, cell.as_str())).collect();
                assert_eq!(told, [(3, "1"), (4, "2"), (8, "3"), (9, "4")], "{end:?} {last:?}");
            }
        }
    }

    #[test]
    fn what_is_no_csv_is_told_by_its_name() {
        for (content, told) in [
            (&b"\xff\xfep\0h\0"[..], "UTF-16"),
            (b"PK\x03\x04rest", "spreadsheet"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"phone\0name", "binary"),
        ] {
            let refusal = open(content).unwrap_err().to_string();
            assert!(refusal.contains(told), "{refusal}");
        }
        assert!(matches!(open(b""), Err(ReadError::Empty)));
        assert!(matches!(open(b"ph\xffne,name\n"), Err(ReadError::Header)));
        assert!(matches!(open(",".repeat(300).as_bytes()), Err(ReadError::Columns)));
    }

    #[test]
    fn a_record_without_an_end_is_refused_and_not_held() {
        let mut reader = open(format!("phone\n1\n\"{}", "x\n".repeat(4 << 20)).as_bytes()).unwrap();
        let mut record = ByteRecord::new();
        assert_eq!(reader.next(&mut record).unwrap(), Some(2));
        assert!(matches!(reader.next(&mut record), Err(ReadError::TooLong { line: 3 })));
        assert!(record.as_slice().len() < 1 << 20);
    }

    #[test]
    fn a_first_line_without_an_end_is_refused() {
        assert!(matches!(open(&vec![b'x'; 8 << 20]), Err(ReadError::TooLong { line: 1 })));
    }

    proptest! {
        #[test]
        fn reading_on_from_any_place_reads_what_is_left(
            cells in prop::collection::vec(("[a-z\",;\n\u{e9}]{0,6}", "[a-z \"\r\n]{0,6}"), 1..12),
            stop in 0_usize..12,
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["phone", "name"]).unwrap();
            for (first, second) in &cells {
                writer.write_record([format!("x{first}"), second.clone()]).unwrap();
            }
            let content = file(&writer.into_inner().unwrap());
            let mut reader = Reader::open(content.path()).unwrap();
            let mut record = ByteRecord::new();
            for _ in 0..stop {
                reader.next(&mut record).unwrap();
            }
            let place = reader.place();
            let expected = rest(&mut reader);
            let mut again = Reader::open(content.path()).unwrap();
            again.seek(place).unwrap();
            prop_assert_eq!(rest(&mut again), expected);
        }
    }
}
