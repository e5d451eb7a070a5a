use super::Halves;
use super::keys::Section;

/// The program that a configuration is read for: it decides which settings are needed, and what absent ones mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Program {
    /// Source and sink in one, with the exact profile: tables that equal the source.
    #[default]
    Lakehouse,
    /// The source half as a service: events have Debezium's own defaults.
    CdcSource,
    /// The sink half as a service: events are read with Debezium's own defaults. In a connector's file an absent key has the
    /// default of Apache's sink.
    IcebergSink,
}

impl Program {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lakehouse => "lakehouse",
            Self::CdcSource => "cdc-source",
            Self::IcebergSink => "iceberg-sink",
        }
    }

    /// What of a mirror it does.
    pub fn halves(self) -> Halves {
        match self {
            Self::Lakehouse => Halves::Both,
            Self::CdcSource => Halves::Source,
            Self::IcebergSink => Halves::Sink,
        }
    }

    /// The sections in which a key that is written without one is looked for.
    pub(super) fn sections(self) -> [Section; 3] {
        match self {
            Self::Lakehouse | Self::CdcSource => [Section::Source, Section::Log, Section::Sink],
            Self::IcebergSink => [Section::Sink, Section::Log, Section::Source],
        }
    }

    /// True if its log is on Kafka where nothing else is said: a connector's file says nothing of a log.
    pub(super) fn expects_kafka(self) -> bool {
        matches!(self, Self::CdcSource | Self::IcebergSink)
    }

    /// True if it uses settings for Kafka's clients of this kind (`producer`, `consumer`, `admin`).
    pub(super) fn uses_client(self, kind: &str) -> bool {
        match self {
            Self::Lakehouse => matches!(kind, "producer" | "consumer"),
            Self::CdcSource => kind == "producer",
            Self::IcebergSink => kind == "consumer",
        }
    }
}
