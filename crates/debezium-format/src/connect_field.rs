//! Kafka Connect schemas as its JSON converter embeds them: one tree of fields, read from the text.

use crate::error::Fault;
use crate::reader::Reader;

/// How deep schemas may lie in each other. A row of Debezium's lies two deep, an array's elements or a shape's fields three.
const MAX_DEPTH: usize = 12;
/// Schemas in one text. An envelope has a row twice, and MySQL's tables have at most 4,096 columns.
const MAX_FIELDS: usize = 16_384;

type Result<T> = std::result::Result<T, Fault>;

/// A schema, and the field of the struct that it is the schema of.
#[derive(Debug, Default)]
pub(crate) struct ConnectField {
    /// Where its text begins.
    pub at: usize,
    /// `type`: `int32`, `struct`, ...
    pub kind: String,
    pub optional: bool,
    /// `name`: the semantic type.
    pub name: Option<String>,
    pub doc: Option<String>,
    pub parameters: Vec<(String, String)>,
    /// Where the text of the default begins, if there is one that is not null.
    pub default: Option<usize>,
    /// `field`: the name in the struct around it.
    pub field: Option<String>,
    /// Of a struct, in order.
    pub fields: Vec<ConnectField>,
    /// Of an array.
    pub items: Option<Box<ConnectField>>,
}

impl ConnectField {
    /// Reads the schema that is next.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Tree { scratch: Vec::new(), left: MAX_FIELDS }.field(reader, 0)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.fields.iter().find(|f| f.field.as_deref() == Some(name))
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn is_struct(&self) -> bool {
        self.kind == "struct"
    }
}

/// The state of reading one tree.
struct Tree {
    scratch: Vec<u8>,
    left: usize,
}

/// The keys of a schema; a bit each, to see one that comes twice.
const KEYS: [&[u8]; 9] = [b"type", b"optional", b"name", b"doc", b"parameters", b"default", b"field", b"fields", b"items"];

impl Tree {
    fn field(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<ConnectField> {
        reader.peek();
        let at = reader.pos();
        if depth > MAX_DEPTH {
            return Err(Fault::embedded(at, "schemas nested more than 12 deep"));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| Fault::embedded(at, "a schema of more than 16384 fields"))?;
        if !reader.take(b'{') {
            return Err(Fault::embedded(at, "a schema that is no object"));
        }
        let mut schema = ConnectField { at, ..ConnectField::default() };
        let (mut first, mut seen) = (true, 0_u16);
        loop {
            reader.peek();
            let at = reader.pos();
            let Some(key) = reader.key(&mut first, &mut self.scratch)? else { break };
            let Some(index) = KEYS.iter().position(|k| *k == key) else {
                // `version`, `keys` and `values` of a map, and what later versions add.
                reader.skip(&mut self.scratch)?;
                continue;
            };
            let bit = 1 << index;
            if seen & bit != 0 {
                return Err(Fault::embedded(at, "a schema with a key twice"));
            }
            seen |= bit;
            match KEYS.get(index).copied().unwrap_or_default() {
                b"type" => schema.kind = self.text(reader)?.ok_or_else(|| Fault::embedded(at, "a type that is null"))?,
                b"optional" => {
                    let value = reader.boolean()?;
                    schema.optional = value.ok_or_else(|| Fault::embedded(at, "optional is neither true nor false"))?;
                }
                b"name" => schema.name = self.text(reader)?,
                b"doc" => schema.doc = self.text(reader)?,
                b"field" => schema.field = self.text(reader)?,
                b"parameters" => schema.parameters = self.parameters(reader)?,
                b"default" => {
                    let null = reader.peek() == Some(b'n');
                    schema.default = (!null).then(|| reader.pos());
                    reader.skip(&mut self.scratch)?;
                }
                b"fields" => schema.fields = self.fields(reader, depth)?,
                _ => schema.items = Some(Box::new(self.field(reader, depth.saturating_add(1))?)),
            }
        }
        if schema.kind.is_empty() {
            return Err(Fault::embedded(at, "a schema without a type"));
        }
        Ok(schema)
    }

    fn fields(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Vec<ConnectField>> {
        reader.peek();
        if !reader.take(b'[') {
            return Err(Fault::embedded(reader.pos(), "fields that are no array"));
        }
        let (mut fields, mut first) = (Vec::new(), true);
        while reader.element(&mut first)? {
            let field = self.field(reader, depth.saturating_add(1))?;
            if field.field.is_none() {
                return Err(Fault::embedded(field.at, "a field without a name"));
            }
            fields.push(field);
        }
        Ok(fields)
    }

    /// A string, or null.
    fn text(&mut self, reader: &mut Reader<'_>) -> Result<Option<String>> {
        if reader.null()? {
            return Ok(None);
        }
        let at = reader.pos();
        if reader.peek() != Some(b'"') {
            return Err(Fault::embedded(at, "a part of a schema that is no string"));
        }
        // The reader has checked that it is UTF-8.
        Ok(Some(String::from_utf8_lossy(reader.string(&mut self.scratch)?).into_owned()))
    }

    fn parameters(&mut self, reader: &mut Reader<'_>) -> Result<Vec<(String, String)>> {
        let mut parameters = Vec::new();
        if reader.null()? {
            return Ok(parameters);
        }
        if !reader.take(b'{') {
            return Err(Fault::embedded(reader.pos(), "parameters that are no object"));
        }
        let mut first = true;
        loop {
            let Some(key) = reader.key(&mut first, &mut self.scratch)? else { return Ok(parameters) };
            let key = String::from_utf8_lossy(key).into_owned();
            if let Some(value) = self.text(reader)? {
                parameters.push((key, value));
            }
        }
    }
}
