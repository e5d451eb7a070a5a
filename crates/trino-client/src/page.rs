//! Rows, in the pages in which they come.

use crate::error::{Error, ErrorKind, Result};
use crate::from_value::{FromRow, FromValue};
use crate::types::TrinoType;
use crate::value::Value;
use crate::values::Values;
use std::fmt;
use std::sync::Arc;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub(crate) name: String,
    pub(crate) r#type: TrinoType,
}

impl Column {
    /// Its name; `_col0` and the like where the statement gives none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its values.
    pub fn r#type(&self) -> &TrinoType {
        &self.r#type
    }
}

/// Rows that came together: about 1 MB. Cloning it is cheap.
#[derive(Clone)]
pub struct Page {
    inner: Arc<Inner>,
    /// Rows before it that were taken.
    skipped: usize,
}

struct Inner {
    columns: Arc<[Column]>,
    values: Vec<Values>,
    rows: usize,
}

impl Page {
    pub(crate) fn new(columns: Arc<[Column]>, values: Vec<Values>, rows: usize) -> Self {
        Self { inner: Arc::new(Inner { columns, values, rows }), skipped: 0 }
    }

    /// The same page from a row on.
    pub(crate) fn rest(mut self, taken: usize) -> Self {
        self.skipped += taken.min(self.len());
        self
    }

    /// The result's columns.
    pub fn columns(&self) -> &[Column] {
        &self.inner.columns
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.inner.rows - self.skipped
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a place, counted from 0.
    pub fn row(&self, at: usize) -> Option<Row> {
        (at < self.len()).then(|| Row { page: self.clone(), at })
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row> + use<> {
        let page = self.clone();
        (0..page.len()).map(move |at| Row { page: page.clone(), at })
    }

    /// The value of a column, counted from 0, in a row, counted from 0. `None` if there is no such place.
    pub fn value(&self, row: usize, column: usize) -> Option<Value<'_>> {
        self.inner.values.get(column).filter(|_| row < self.len()).map(|values| values.get(self.skipped + row))
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("columns", &self.inner.columns).field("rows", &self.len()).finish_non_exhaustive()
    }
}

/// A row of a result. It keeps the page that it is in; cloning it is cheap.
#[derive(Clone)]
pub struct Row {
    page: Page,
    at: usize,
}

impl Row {
    /// The result's columns.
    pub fn columns(&self) -> &[Column] {
        self.page.columns()
    }

    /// The value of a column, by its place from 0 or by its name, as a type of Rust: see [`FromValue`].
    ///
    /// # Errors
    /// [`ErrorKind::Conversion`]: there is no such column, or not one alone, or its value is not of this type. NULL is only of types `Option<T>`.
    pub fn get<'a, T: FromValue<'a>>(&'a self, column: impl ColumnIndex) -> Result<T> {
        let at = column.find(self.columns())?;
        T::from_value(self.value(at)?).map_err(|mismatch| {
            let column = self.columns().get(at);
            let (name, r#type) = column.map_or(("", String::new()), |c| (&c.name, c.r#type.to_string()));
            Error::new(ErrorKind::Conversion, format!("column {at} ({name} {type}): {mismatch}"))
        })
    }

    /// The value of a column, by its place from 0 or by its name, whatever its type is.
    ///
    /// # Errors
    /// [`ErrorKind::Conversion`]: there is no such column, or not one alone.
    pub fn value(&self, column: impl ColumnIndex) -> Result<Value<'_>> {
        let at = column.find(self.columns())?;
        Ok(self.page.value(self.at, at).unwrap_or(Value::Null))
    }

    /// All values, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Value<'_>> {
        self.page.inner.values.iter().map(|values| values.get(self.page.skipped + self.at))
    }

    /// The row as a tuple, or another type with [`FromRow`].
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    pub fn read<'a, T: FromRow<'a>>(&'a self) -> Result<T> {
        T::from_row(self)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.columns().iter().map(Column::name).zip(self.values())).finish()
    }
}

/// What names a column of a row: its place from 0, or its name.
pub trait ColumnIndex: sealed::Sealed {
    /// The place of the column.
    ///
    /// # Errors
    /// [`ErrorKind::Conversion`]: there is no such column, or not one alone.
    fn find(&self, columns: &[Column]) -> Result<usize>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for &str {}
}

impl ColumnIndex for usize {
    fn find(&self, columns: &[Column]) -> Result<usize> {
        if *self < columns.len() {
            return Ok(*self);
        }
        Err(Error::new(
            ErrorKind::Conversion,
            format!("there is no column {self}: the row has {}, counted from 0", columns.len()),
        ))
    }
}

impl ColumnIndex for &str {
    fn find(&self, columns: &[Column]) -> Result<usize> {
        let mut found = columns.iter().enumerate().filter(|(_, column)| column.name == *self).map(|(at, _)| at);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(at),
            (None, _) => {
                let names: Vec<&str> = columns.iter().take(100).map(Column::name).collect();
                Err(Error::new(ErrorKind::Conversion, format!("there is no column {self:?}: the row has {}", names.join(", "))))
            }
            _ => Err(Error::new(ErrorKind::Conversion, format!("several columns are named {self:?}: take them by their places"))),
        }
    }
}
