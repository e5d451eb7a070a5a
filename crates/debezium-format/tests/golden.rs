//! Recorded events of the real Debezium 3.6.3 (`tests/goldens`, see its README).

/// One recorded record, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    pub topic: String,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Golden {
    pub fn table(&self) -> &str {
        self.topic.rsplit('.').next().unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.value.as_ref().unwrap()).unwrap()
    }

    /// The envelope, with or without an embedded schema around it.
    pub fn envelope(&self) -> serde_json::Value {
        let mut json = self.json();
        if json.get("payload").is_some() { json["payload"].take() } else { json }
    }
}

pub fn load(name: &str) -> Vec<Golden> {
    // Another crate's tests read them, too.
    let path = format!("{}/../debezium-format/tests/goldens/{name}.tsv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut schemas = Vec::new();
    let mut records = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let first = fields.next().unwrap();
        if first.starts_with('@') {
            schemas.push(fields.next().unwrap().to_owned());
            continue;
        }
        let expand = |text: &str| match text.strip_prefix("{\"schema\":@") {
            Some(rest) => {
                let (number, rest) = rest.split_once(',').unwrap();
                format!("{{\"schema\":{},{rest}", schemas[number.parse::<usize>().unwrap()])
            }
            None => text.to_owned(),
        };
        let optional = |text: &str| (text != "null").then(|| expand(text));
        let key = optional(fields.next().unwrap());
        let value = optional(fields.next().unwrap());
        let header = |text: &str| {
            let (name, value) = text.split_once('=').unwrap();
            (name.to_owned(), expand(value))
        };
        records.push(Golden { topic: first.to_owned(), key, value, headers: fields.map(header).collect() });
    }
    records
}
