//! Many rows as one parameter, so that a batch of any size is one prepared statement and one round trip.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::ser::Error as _;
use serde_json::Value;

/// A batch of rows for a statement's `(rows "$1" as …)` part. Field names are column names; times go
/// through [`sql_time`].
#[derive(Clone, Debug, Default)]
pub struct Rows {
    names: Vec<&'static str>,
    /// Row by row.
    cells: Vec<Value>,
}

impl Rows {
    /// # Errors
    /// Only when a row is no struct, or a field cannot be written as JSON.
    pub fn of<T: Serialize>(rows: &[T]) -> Result<Self, serde_json::Error> {
        let mut all = Self { names: Vec::new(), cells: Vec::new() };
        for row in rows {
            row.serialize(fields::RowSerializer(&mut all))?;
        }
        if all.names.is_empty() || all.cells.len() == all.names.len() * rows.len() {
            Ok(all)
        } else {
            Err(serde_json::Error::custom("the rows of a batch have not the same fields"))
        }
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len().checked_div(self.names.len()).unwrap_or(0)
    }

    /// The cells of each of these columns; a column that the rows do not have is empty.
    pub(super) fn into_columns(mut self, columns: &[(&str, &str)]) -> Vec<Vec<Value>> {
        let (width, len) = (self.names.len().max(1), self.len());
        let place = |column: &str| self.names.iter().position(|name| *name == column);
        let places: Vec<Option<usize>> = columns.iter().map(|(name, _)| place(name)).collect();
        places
            .into_iter()
            .map(|place| match place {
                Some(at) => self.cells.iter_mut().skip(at).step_by(width).map(Value::take).collect(),
                None => vec![Value::Null; len],
            })
            .collect()
    }

    /// The cells of these columns, row by row.
    pub(super) fn into_cells(mut self, columns: &[(&str, &str)]) -> impl Iterator<Item = Value> {
        let (width, len) = (self.names.len(), self.len());
        let place = |column: &str| self.names.iter().position(|name| *name == column);
        let places: Vec<Option<usize>> = columns.iter().map(|(name, _)| place(name)).collect();
        (0..len).flat_map(move |row| {
            places
                .iter()
                .map(|place| {
                    place
                        .and_then(|at| self.cells.get_mut(row * width + at))
                        .map(Value::take)
                        .unwrap_or_default()
                })
                .collect::<Vec<_>>()
        })
    }

    /// As a JSON array, for a statement that has words of its own for a batch.
    pub(super) fn json(&self) -> String {
        let rows = self.cells.chunks(self.names.len().max(1)).map(|cells| {
            let fields = self.names.iter().map(|name| (*name).to_owned()).zip(cells.iter().cloned());
            Value::Object(fields.collect())
        });
        Value::Array(rows.collect()).to_string()
    }

    /// Keeps so many rows and returns the others.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        Self { names: self.names.clone(), cells: self.cells.split_off(at * self.names.len()) }
    }
}

/// Text that both engines can hold: PostgreSQL takes no NUL character.
pub fn sql_text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Writes a time as both engines read it back, letter for letter as sqlx stores one in SQLite, where times
/// are compared as text.
pub fn sql_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

/// A struct's fields as cells.
mod fields {
    use serde::Serialize;
    use serde::ser::{Error as _, Impossible, SerializeStruct, Serializer};
    use serde_json::{Error, Value, value};

    use super::Rows;

    pub(super) struct RowSerializer<'r>(pub(super) &'r mut Rows);

    pub(super) struct Fields<'r> {
        rows: &'r mut Rows,
        first: bool,
    }

    impl Fields<'_> {
        fn push(&mut self, name: &'static str, cell: Value) {
            if self.first {
                self.rows.names.push(name);
            }
            self.rows.cells.push(cell);
        }
    }

    impl SerializeStruct for Fields<'_> {
        type Ok = ();
        type Error = Error;

        fn serialize_field<T: Serialize + ?Sized>(
            &mut self,
            name: &'static str,
            field: &T,
        ) -> Result<(), Error> {
            let cell = field.serialize(value::Serializer)?;
            self.push(name, cell);
            Ok(())
        }

        fn skip_field(&mut self, name: &'static str) -> Result<(), Error> {
            self.push(name, Value::Null);
            Ok(())
        }

        fn end(self) -> Result<(), Error> {
            Ok(())
        }
    }

    fn no_struct<T>() -> Result<T, Error> {
        Err(Error::custom("a row of a batch must be a struct"))
    }

    macro_rules! refused {
        ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {
            $(fn $method(self $(, _: $type)*) -> Result<$ok, Error> { no_struct() })*
        };
    }

    impl<'r> Serializer for RowSerializer<'r> {
        type Ok = ();
        type Error = Error;
        type SerializeSeq = Impossible<(), Error>;
        type SerializeTuple = Impossible<(), Error>;
        type SerializeTupleStruct = Impossible<(), Error>;
        type SerializeTupleVariant = Impossible<(), Error>;
        type SerializeMap = Impossible<(), Error>;
        type SerializeStruct = Fields<'r>;
        type SerializeStructVariant = Impossible<(), Error>;

        fn serialize_struct(self, _: &'static str, fields: usize) -> Result<Fields<'r>, Error> {
            let first = self.0.names.is_empty();
            self.0.cells.reserve(fields);
            Ok(Fields { rows: self.0, first })
        }

        fn serialize_some<T: Serialize + ?Sized>(self, row: &T) -> Result<(), Error> {
            row.serialize(self)
        }

        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            row: &T,
        ) -> Result<(), Error> {
            row.serialize(self)
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<(), Error> {
            no_struct()
        }

        refused! {
            serialize_bool(bool) -> ();
            serialize_i8(i8) -> ();
            serialize_i16(i16) -> ();
            serialize_i32(i32) -> ();
            serialize_i64(i64) -> ();
            serialize_u8(u8) -> ();
            serialize_u16(u16) -> ();
            serialize_u32(u32) -> ();
            serialize_u64(u64) -> ();
            serialize_f32(f32) -> ();
            serialize_f64(f64) -> ();
            serialize_char(char) -> ();
            serialize_str(&str) -> ();
            serialize_bytes(&[u8]) -> ();
            serialize_none() -> ();
            serialize_unit() -> ();
            serialize_unit_struct(&'static str) -> ();
            serialize_unit_variant(&'static str, u32, &'static str) -> ();
            serialize_seq(Option<usize>) -> Impossible<(), Error>;
            serialize_tuple(usize) -> Impossible<(), Error>;
            serialize_tuple_struct(&'static str, usize) -> Impossible<(), Error>;
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>;
            serialize_map(Option<usize>) -> Impossible<(), Error>;
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>;
        }
    }
}
