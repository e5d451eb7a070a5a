/// The connector that a source stands for: it decides the `source` block's schema and a few types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connector {
    /// `io.debezium.connector.mysql.MySqlConnector`.
    Mysql,
    /// `io.debezium.connector.mariadb.MariaDbConnector`.
    Mariadb,
}

impl Connector {
    /// The name in `source.connector`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// How keys and values are laid out as bytes: Kafka Connect's converters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Converter {
    /// `JsonConverter`; with `schemas` (its `schemas.enable`) each key and value carries its schema: `{"schema":..,"payload":..}`.
    Json {
        /// Embed the schema.
        schemas: bool,
    },
}

impl Converter {
    pub(crate) fn has_schemas(self) -> bool {
        let Self::Json { schemas } = self;
        schemas
    }
}

/// `decimal.handling.mode`: how `DECIMAL` is written. Debezium's `double` loses digits and is not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DecimalMode {
    /// Connect's `Decimal`: the unscaled value as big-endian two's complement, base64.
    #[default]
    Precise,
    /// Plain text.
    String,
}

/// `bigint.unsigned.handling.mode`: how `BIGINT UNSIGNED` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BigintUnsigned {
    /// As a signed 64-bit number: the upper half wraps to negative values.
    #[default]
    Long,
    /// As Connect's `Decimal` with scale 0.
    Precise,
}

/// `time.precision.mode`: the units of `DATE`, `TIME` and `DATETIME`. `TIMESTAMP` is ISO text in all of them.
///
/// All are read; an [`Encoder`](crate::Encoder) writes the default only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TimePrecision {
    /// `TIME` in microseconds; `DATETIME` in milliseconds up to three fraction digits, in microseconds above.
    #[default]
    AdaptiveTimeMicroseconds,
    /// Both in milliseconds up to three fraction digits, in microseconds above.
    Adaptive,
    /// Connect's own types: both in milliseconds. The writer cuts finer fractions off and has no form for times outside a day.
    Connect,
    /// ISO text with `Z`. The writer has no form for times outside a day.
    IsoString,
    /// Both in microseconds.
    Microseconds,
    /// Both in nanoseconds.
    Nanoseconds,
}

impl TimePrecision {
    /// Debezium's name of the mode.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdaptiveTimeMicroseconds => "adaptive_time_microseconds",
            Self::Adaptive => "adaptive",
            Self::Connect => "connect",
            Self::IsoString => "isostring",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

/// `binary.handling.mode`: how `BINARY`, `VARBINARY` and `BLOB` are written.
///
/// All are read; an [`Encoder`](crate::Encoder) writes the default only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BinaryMode {
    /// Connect's `bytes`, which are base64 in JSON.
    #[default]
    Bytes,
    /// A string, base64 with `+` and `/`.
    Base64,
    /// A string, base64 with `-` and `_`.
    Base64UrlSafe,
    /// A string of hexadecimal digits.
    Hex,
}

impl BinaryMode {
    /// Debezium's name of the mode.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Base64 => "base64",
            Self::Base64UrlSafe => "base64-url-safe",
            Self::Hex => "hex",
        }
    }
}

/// The handling modes that both sides of a log must agree on; [`Default`] is Debezium's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Profile {
    /// `decimal.handling.mode`.
    pub decimals: DecimalMode,
    /// `bigint.unsigned.handling.mode`.
    pub bigint_unsigned: BigintUnsigned,
    /// `time.precision.mode`.
    pub time: TimePrecision,
    /// `binary.handling.mode`.
    pub binary: BinaryMode,
}

impl Profile {
    /// The modes under which every value says what it is: Debezium's defaults, but `bigint.unsigned.handling.mode=precise`.
    pub fn exact() -> Self {
        Self { bigint_unsigned: BigintUnsigned::Precise, ..Self::default() }
    }
}

/// What an [`Encoder`](crate::Encoder) needs to know besides the table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncoderConfig {
    /// `topic.prefix`: `source.name`, and the head of all schema names.
    pub topic_prefix: String,
    /// The connector that the events claim to come from.
    pub connector: Connector,
    /// Key and value converter.
    pub converter: Converter,
    /// `tombstones.on.delete`.
    pub tombstones_on_delete: bool,
    /// `extended.headers.enabled`: the four `__debezium.context.*` headers on each record.
    pub extended_headers: bool,
    /// The run's id, for the header `__debezium.context.runId`.
    pub run_id: String,
    /// Handling modes.
    pub profile: Profile,
}

impl EncoderConfig {
    /// Debezium's defaults: tombstones, extended headers, [`Profile::default`].
    pub fn new(topic_prefix: impl Into<String>, connector: Connector, converter: Converter, run_id: impl Into<String>) -> Self {
        Self {
            topic_prefix: topic_prefix.into(),
            connector,
            converter,
            tombstones_on_delete: true,
            extended_headers: true,
            run_id: run_id.into(),
            profile: Profile::default(),
        }
    }

    /// The same with other handling modes.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }
}

/// What a [`Decoder`](crate::Decoder) needs to know besides the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecoderConfig {
    /// Value converter.
    pub converter: Converter,
    /// Handling modes of the writer.
    pub profile: Profile,
}

impl DecoderConfig {
    /// Reads what `converter` and `profile` wrote.
    pub fn new(converter: Converter, profile: Profile) -> Self {
        Self { converter, profile }
    }
}
