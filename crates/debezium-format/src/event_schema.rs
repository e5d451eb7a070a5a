use crate::config::{BigintUnsigned, BinaryMode, DecimalMode, Profile, TimePrecision};
use crate::connect_field::ConnectField;
use crate::connect_type::{ForeignColumn, foreign_column, holds_bytes};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::reader::Reader;
use crate::wire::Wire;
use arrow_schema::DataType;
use cdc_core::{Column, LogicalType, TableId, TableSchema};
use std::collections::HashSet;
use std::ops::Range;

/// What MySQL allows a table; a row of more is none of a table.
const MAX_COLUMNS: usize = 4_096;
/// How every event with a schema begins.
const HEAD: &[u8] = b"{\"schema\":";

/// How a row lies in the value of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Debezium's envelope: `before`, `after`, `source`, `op`.
    Envelope,
    /// The row alone, as the transformation `ExtractNewRecordState` leaves it. What the transformation adds (`__op`, `__deleted`,
    /// `__source_ts_ms`, ...) are columns like the others, and say what the event did.
    Flat,
}

/// The columns of a table as the embedded schemas (`schemas.enable=true`) of its events describe them.
///
/// This is what there is to know of a table whose events somebody else wrote. The source's own types are not in it, unless
/// `column.propagate.source.type` or `datatype.propagate.source.type` put them there: then `BIGINT UNSIGNED`, decimals as text and the
/// width of integers are known too. Without, a column is what the schema says: `string` is text and `int64` a signed number. The
/// README has the table of types.
#[derive(Debug, Clone)]
pub struct EventSchema {
    name: String,
    layout: Layout,
    columns: Vec<Column>,
    key: Vec<usize>,
    wires: Vec<Wire>,
    losses: Vec<Option<&'static str>>,
    profile: Profile,
    key_text: Option<SchemaText>,
    value_text: SchemaText,
}

impl EventSchema {
    /// Reads the schemas of one record: its key, if it has one, and its value, each whole, as its converter wrote it.
    ///
    /// The key's schema names the key's columns; a key without a schema (`key.converter.schemas.enable=false`) does so by its own
    /// fields. A record without a key is one of a table without a key. The record of a truncate has none either: ask
    /// [`EventSchema::is_of`] before taking a record's schema for a new one.
    ///
    /// # Errors
    /// [`ErrorKind::EmbeddedSchema`] or [`ErrorKind::Syntax`]: there is no schema, or it is damaged, or it describes no row.
    /// [`ErrorKind::Configuration`] names a column whose type cannot be mirrored, or a part of the key that is no column.
    pub fn parse(key: Option<&[u8]>, value: &[u8]) -> Result<Self> {
        let extent = schema_extent(value)?;
        let Some(extent) = extent else {
            let fault = Fault::embedded(0, "it carries no schema");
            return Err(Error::from_fault(fault, UNKNOWN, None));
        };
        let schema =
            ConnectField::read(&mut Reader::new(value, extent.start)).map_err(|f| Error::from_fault(f, UNKNOWN, None))?;
        let name = table_name(&schema);
        let (layout, row) = row_of(&schema).map_err(|fault| Error::from_fault(fault, &name, None))?;
        let foreign = row_columns(value, row, &name)?;
        let key_names = match key {
            Some(key) => key_names(key).map_err(|fault| {
                let what = format!("its key, at byte {}: {}", fault.at, fault.what);
                Error::new(fault.kind, &name, what)
            })?,
            None => Vec::new(),
        };
        let key_text = match key {
            Some(key) => schema_extent(key)?.map(|extent| SchemaText::new(key, extent)),
            None => None,
        };
        let mut key_columns = Vec::with_capacity(key_names.len());
        for part in &key_names {
            let index = foreign.iter().position(|f| f.column.name == *part).ok_or_else(|| {
                let what = "it is in the key of the events but not in their rows, so that rows cannot be told apart by it";
                Error::new(ErrorKind::Configuration, &name, what).in_column(part)
            })?;
            key_columns.push(index);
        }
        let profile = profile_of(&foreign);
        let (mut columns, mut wires, mut losses) = (Vec::new(), Vec::new(), Vec::new());
        for (id, foreign) in (1..).zip(foreign) {
            columns.push(Column { field_id: id, ..foreign.column });
            wires.push(foreign.wire);
            losses.push(foreign.loss);
        }
        let value_text = SchemaText::new(value, extent);
        Ok(Self { name, layout, columns, key: key_columns, wires, losses, profile, key_text, value_text })
    }

    /// The same with the strings that hold bytes read as bytes: those whose source's type is known to be `BINARY`, `VARBINARY` or a
    /// `BLOB`. The schema does not tell which `binary.handling.mode` the writer had, so this must be said.
    #[must_use]
    pub fn with_binary_mode(mut self, mode: BinaryMode) -> Self {
        self.profile.binary = mode;
        for (column, wire) in self.columns.iter_mut().zip(&mut self.wires) {
            if *wire != Wire::Text || column.logical_type != LogicalType::String || !holds_bytes(&column.native) {
                continue;
            }
            *wire = match mode {
                BinaryMode::Bytes => continue,
                BinaryMode::Base64 => Wire::Bytes,
                BinaryMode::Base64UrlSafe => Wire::UrlBase64,
                BinaryMode::Hex => Wire::Hex,
            };
            column.logical_type = LogicalType::Binary;
            // It was read as text.
            column.default = None;
        }
        self
    }

    /// True if the record has these schemas. One comparison of bytes for each of key and value, where the schemas stand first, as
    /// Connect's converter puts them.
    ///
    /// A record without a key has another schema, because a table may lose its key; but not one that empties the table. A record without
    /// a row (`null`, or a payload of null as a transformation may leave it) has no other schema, whatever it carries.
    pub fn is_of(&self, key: Option<&[u8]>, value: &[u8]) -> bool {
        if !self.value_text.is_of(value) {
            return is_tombstone(value);
        }
        match (key, &self.key_text) {
            (Some(key), Some(text)) => text.is_of(key),
            (Some(key), None) => key_names(key).is_ok_and(|names| names.iter().eq(self.key_names())),
            (None, _) => self.key.is_empty() || is_truncate(value),
        }
    }

    fn key_names(&self) -> impl Iterator<Item = &String> {
        self.key.iter().filter_map(|&i| self.columns.get(i)).map(|c| &c.name)
    }

    /// The name of the schema without `.Envelope` and `.Value`: by default the topic's, adjusted by `schema.name.adjustment.mode`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How rows lie in the events.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The columns in the schema's order, with field ids from 1.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Indices into [`EventSchema::columns`] of the key, in key order; empty if the events have no key.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// The handling modes of the writer as far as the schema tells them; the defaults for the rest. For messages and checks: a
    /// [`Decoder`](crate::Decoder) made [for these events](crate::Decoder::for_events) reads each column in the form that it has.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Columns of whose values the writer has lost something before they came here, and what. Their events are mirrored as they are.
    pub fn losses(&self) -> impl Iterator<Item = (&Column, &'static str)> {
        self.columns.iter().zip(&self.losses).filter_map(|(column, loss)| Some((column, (*loss)?)))
    }

    /// The table's schema under `version`, with field ids from 1 in the order of the columns.
    pub fn table_schema(&self, table: TableId, version: u32) -> TableSchema {
        TableSchema {
            table,
            version,
            columns: self.columns.clone(),
            key: self.key.clone(),
            last_field_id: self.columns.last().map_or(0, |c| c.field_id),
            comment: None,
            charset: None,
        }
    }

    /// The forms of the columns' values, for a table schema that has these columns.
    pub(crate) fn wires_for(&self, schema: &TableSchema) -> Result<&[Wire]> {
        let refused = |what: String| Error::new(ErrorKind::Configuration, &schema.table, what);
        if schema.columns.len() != self.columns.len() {
            let (here, there) = (schema.columns.len(), self.columns.len());
            return Err(refused(format!("a table schema of {here} columns for events of {there}")));
        }
        for (column, own) in schema.columns.iter().zip(&self.columns) {
            if column.name != own.name {
                return Err(refused(format!("{:?} stands in its place in the events", own.name)).in_column(&column.name));
            }
            let (kind, own_kind) = (column.logical_type.arrow_type(), own.logical_type.arrow_type());
            if kind != own_kind && !widens(&own_kind, &kind) {
                return Err(refused(format!("its type is {kind}, in the events {own_kind}")).in_column(&column.name));
            }
        }
        Ok(&self.wires)
    }
}

/// True if `kind` is a decimal like `own` with room for more digits.
fn widens(own: &DataType, kind: &DataType) -> bool {
    match (own, kind) {
        (DataType::Decimal128(own, own_scale), DataType::Decimal128(wider, scale)) => own <= wider && own_scale == scale,
        _ => false,
    }
}

const UNKNOWN: &str = "a table whose name is not known";

/// The bytes of an embedded schema.
#[derive(Debug, Clone)]
struct SchemaText {
    /// All bytes up to the schema's end. They say where it ends, so that what follows them does not matter.
    head: Box<[u8]>,
    /// Where the schema begins.
    from: usize,
}

impl SchemaText {
    fn new(text: &[u8], extent: Range<usize>) -> Self {
        Self { head: text.get(..extent.end).unwrap_or_default().into(), from: extent.start }
    }

    fn is_of(&self, text: &[u8]) -> bool {
        if self.from == HEAD.len() && text.starts_with(HEAD) {
            return text.starts_with(&self.head);
        }
        let schema = schema_extent(text).ok().flatten().and_then(|extent| text.get(extent));
        schema.is_some_and(|schema| self.head.get(self.from..) == Some(schema))
    }
}

/// Where the embedded schema of a key or value lies: the object behind `"schema":`. `None` if there is none, or null.
///
/// Of text that begins with the schema, as Connect's converter writes it, nothing behind the schema is looked at.
///
/// # Errors
/// [`ErrorKind::Syntax`]: what was looked at is damaged.
pub fn schema_extent(text: &[u8]) -> Result<Option<Range<usize>>> {
    extent_of(text).map_err(|fault| Error::from_fault(fault, UNKNOWN, None))
}

fn extent_of(text: &[u8]) -> std::result::Result<Option<Range<usize>>, Fault> {
    let mut reader = Reader::new(text, 0);
    let mut scratch = Vec::new();
    if !reader.take(b'{') {
        // A null, or a key that is no object.
        reader.skip(&mut scratch)?;
        return Ok(None);
    }
    let mut first = true;
    loop {
        let Some(key) = reader.key(&mut first, &mut scratch)? else { return Ok(None) };
        let found = key == b"schema" && reader.peek() == Some(b'{');
        let from = reader.pos();
        reader.skip(&mut scratch)?;
        if found {
            return Ok(Some(from..reader.pos()));
        }
    }
}

/// A place in a record's object: where the value of `name` begins.
fn member(text: &[u8], at: usize, name: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(text, at);
    let mut scratch = Vec::new();
    let mut first = true;
    if !reader.take(b'{') {
        return None;
    }
    while let Some(key) = reader.key(&mut first, &mut scratch).ok()? {
        let found = key == name;
        reader.peek();
        let at = reader.pos();
        if found {
            return Some(at);
        }
        reader.skip(&mut scratch).ok()?;
    }
    None
}

/// A value without a row.
fn is_tombstone(value: &[u8]) -> bool {
    match member(value, 0, b"payload") {
        Some(payload) => value.get(payload..).is_some_and(|payload| payload.starts_with(b"null")),
        None => value == b"null",
    }
}

/// True if this value, whole and with its schema, is an envelope that says that all rows of the table went. Its record has no key.
pub fn is_truncate(value: &[u8]) -> bool {
    let op = member(value, 0, b"payload").and_then(|payload| member(value, payload, b"op"));
    op.and_then(|at| value.get(at..)).is_some_and(|op| op.starts_with(b"\"t\""))
}

/// The names of the key's parts.
fn key_names(key: &[u8]) -> std::result::Result<Vec<String>, Fault> {
    if let Some(extent) = extent_of(key)? {
        let schema = ConnectField::read(&mut Reader::new(key, extent.start))?;
        if !schema.is_struct() {
            return Err(Fault::embedded(extent.start, format!("a {}, which names no column", schema.kind)));
        }
        return Ok(schema.fields.into_iter().filter_map(|f| f.field).collect());
    }
    let mut reader = Reader::new(key, 0);
    let mut scratch = Vec::new();
    if reader.null()? {
        return Ok(Vec::new());
    }
    if !reader.take(b'{') {
        return Err(Fault::embedded(reader.pos(), "a value that names no column"));
    }
    let (mut names, mut first) = (Vec::new(), true);
    while let Some(name) = reader.key(&mut first, &mut scratch)? {
        names.push(String::from_utf8_lossy(name).into_owned());
        reader.skip(&mut scratch)?;
    }
    Ok(names)
}

fn table_name(schema: &ConnectField) -> String {
    let name = schema.name.as_deref().unwrap_or(UNKNOWN);
    name.strip_suffix(".Envelope").or(name.strip_suffix(".Value")).unwrap_or(name).to_owned()
}

/// The layout, and the schema of the row.
fn row_of(schema: &ConnectField) -> std::result::Result<(Layout, &ConnectField), Fault> {
    if !schema.is_struct() {
        return Err(Fault::embedded(schema.at, format!("its schema is a {}, no row", schema.kind)));
    }
    let is = |name, kind: &str| schema.field(name).is_some_and(|f| f.kind == kind);
    if is("source", "struct") && is("op", "string") {
        let row = schema.field("after").filter(|f| f.is_struct());
        let what = "an envelope whose schema has no row after";
        return row.map(|row| (Layout::Envelope, row)).ok_or_else(|| Fault::embedded(schema.at, what));
    }
    Ok((Layout::Flat, schema))
}

fn row_columns(text: &[u8], row: &ConnectField, table: &str) -> Result<Vec<ForeignColumn>> {
    let refused = |what| Error::from_fault(Fault::embedded(row.at, what), table, None);
    if row.fields.is_empty() {
        return Err(refused("a row without columns"));
    }
    if row.fields.len() > MAX_COLUMNS {
        return Err(refused("a row of more than 4096 columns"));
    }
    let mut names = HashSet::with_capacity(row.fields.len());
    let mut columns = Vec::with_capacity(row.fields.len());
    for field in &row.fields {
        let name = field.field.as_deref().unwrap_or_default();
        if !names.insert(name) {
            let fault = Fault::embedded(field.at, "a column twice in one row");
            return Err(Error::from_fault(fault, table, Some(name.to_owned())));
        }
        let column = foreign_column(text, field);
        columns.push(column.map_err(|what| Error::new(ErrorKind::Configuration, table, what).in_column(name))?);
    }
    Ok(columns)
}

/// The modes that the columns show.
fn profile_of(columns: &[ForeignColumn]) -> Profile {
    let mut profile = Profile::default();
    let connect = columns.iter().any(|c| c.loss.is_some() && c.wire == Wire::Millis);
    for foreign in columns {
        match (foreign.wire, &foreign.column.logical_type) {
            (Wire::ExactU64, _) => profile.bigint_unsigned = BigintUnsigned::Precise,
            (Wire::DecimalText { .. } | Wire::WideDecimalText { .. }, _) => profile.decimals = DecimalMode::String,
            (Wire::Nanos, _) => profile.time = TimePrecision::Nanoseconds,
            (Wire::DayText | Wire::TimeText, _) | (Wire::Instant, LogicalType::Timestamp { .. }) => {
                profile.time = TimePrecision::IsoString;
            }
            (Wire::Millis, LogicalType::Time { .. }) if !connect => profile.time = TimePrecision::Adaptive,
            (Wire::Millis, _) if connect => profile.time = TimePrecision::Connect,
            _ => {}
        }
    }
    profile
}
