use super::clients::lock;
use super::tokens::{Supply, Tokens};
use crate::error::{Error, ErrorKind};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The client that reads.
pub(super) type Reader = BaseConsumer<Context>;

/// What librdkafka tells of a client by the way: kept, so that a question that gets no answer can say why.
#[derive(Clone)]
pub(super) struct Context {
    trouble: Arc<Mutex<Option<Trouble>>>,
    /// Of the token that the client logs in with, if it does.
    tokens: Option<Arc<Supply>>,
}

/// The last thing that went wrong on a connection.
#[derive(Clone)]
pub(super) struct Trouble {
    code: Code,
    reason: String,
    at: Instant,
}

/// What went wrong longer ago explains nothing that goes wrong now.
const EXPLAINS_FOR: Duration = Duration::from_secs(60);

impl Context {
    pub(super) fn new(tokens: Option<&Tokens>) -> Self {
        Self { trouble: Arc::default(), tokens: tokens.map(Tokens::supply) }
    }

    fn trouble(&self) -> Option<Trouble> {
        let trouble = lock(&self.trouble).clone();
        let since = self.tokens.as_ref().and_then(|tokens| tokens.since());
        trouble.filter(|trouble| trouble.at.elapsed() < EXPLAINS_FOR && since.is_none_or(|since| trouble.at >= since))
    }

    /// True if something went wrong on a connection since then, or there is nothing to log in with.
    pub(super) fn had_trouble_since(&self, then: Instant) -> bool {
        lock(&self.trouble).as_ref().is_some_and(|trouble| trouble.at >= then)
            || self.tokens.as_ref().is_some_and(|tokens| tokens.missing().is_some())
    }

    /// The error of this code while `doing` something, with what the connections said.
    pub(super) fn failure(&self, doing: &str, code: Code) -> Error {
        // Without a token nothing else matters: brokers refuse one that has expired, which reads as if this client had no right.
        if matches!(kind_of(code), ErrorKind::Unavailable | ErrorKind::Denied)
            && let Some((kind, why)) = self.tokens.as_ref().and_then(|tokens| tokens.missing())
        {
            return Error::new(kind, format!("{doing}: {why}"));
        }
        let trouble = self.trouble().filter(|_| kind_of(code) == ErrorKind::Unavailable);
        if (is_of_login(code) || trouble.as_ref().is_some_and(|trouble| is_of_login(trouble.code)))
            && let Some((kind, why)) = self.tokens.as_ref().and_then(|tokens| tokens.doubt())
        {
            return Error::new(kind, format!("{doing}: the brokers do not take the token: {why}"));
        }
        // A wrong password shows on the connections only; the question itself runs into its time limit.
        let kind =
            trouble.as_ref().map(|t| kind_of(t.code)).filter(|kind| *kind == ErrorKind::Denied).unwrap_or_else(|| kind_of(code));
        if known_kind(code).is_none() {
            tracing::warn!(
                code = code as i32,
                doing,
                "Kafka answers with an error that this program does not know, and takes for one that passes"
            );
        }
        let why = match &trouble {
            Some(trouble) => format!("{code}; the connections say: {}", trouble.reason),
            None => code.to_string(),
        };
        let next = match kind {
            ErrorKind::Denied => "check the credentials, and what this user may do in the cluster",
            ErrorKind::Unavailable => "check that the servers of bootstrap.servers are up and reached from here",
            ErrorKind::Fenced => "stop this one, and read the progress again before appending",
            ErrorKind::Invalid => "change what was asked for, or the cluster's setting that refuses it",
            _ => "look into the cluster's own log",
        };
        Error::new(kind, format!("{doing}: {why}: {next}"))
    }

    /// The same for an error of the binding.
    pub(super) fn wrap(&self, doing: &str, e: KafkaError) -> Error {
        let error = match e.rdkafka_error_code() {
            Some(code) => self.failure(doing, code),
            None => Error::new(ErrorKind::Other, format!("{doing}: {e}")),
        };
        error.with_source(e)
    }
}

/// The error of a client that its settings do not make.
pub(super) fn not_made(e: KafkaError) -> Error {
    Error::new(ErrorKind::Invalid, format!("the Kafka client cannot be made: {e}: correct its settings")).with_source(e)
}

/// True if brokers have refused the login itself, and not something that this user may not do.
fn is_of_login(code: Code) -> bool {
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed)
}

/// What a code of Kafka's means for who uses a log. What is not known is taken for a passing trouble: a caller tries again.
pub(super) fn kind_of(code: Code) -> ErrorKind {
    known_kind(code).unwrap_or(ErrorKind::Unavailable)
}

/// What a code of Kafka's means to a reader: there it is also of the bytes that a broker has stored.
pub(super) fn kind_of_read(code: Code) -> ErrorKind {
    match code {
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage | Code::InvalidMessageSize => ErrorKind::Corrupt,
        _ => kind_of(code),
    }
}

fn known_kind(code: Code) -> Option<ErrorKind> {
    Some(match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
            ErrorKind::UnknownTopic
        }
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => ErrorKind::Fenced,
        Code::OffsetOutOfRange | Code::AutoOffsetReset => ErrorKind::OffsetOutOfRange,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::SSL
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed => ErrorKind::Denied,
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::InvalidRequest
        | Code::InvalidArgument
        | Code::InvalidRequiredAcks
        | Code::InvalidGroupId
        | Code::InvalidTransactionTimeout
        | Code::PolicyViolation
        | Code::InvalidTimestamp
        | Code::InvalidRecord
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType
        | Code::NotImplemented => ErrorKind::Invalid,
        // All of these pass, or somebody is at work on it.
        Code::BrokerTransportFailure
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::Resolve
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::NetworkException
        | Code::QueueFull
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::WaitingForCoordinator
        | Code::WaitCache
        | Code::Retry
        | Code::State
        | Code::Fatal
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::ISRInsufficient
        | Code::NotController
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::TransactionCoordinatorFenced
        | Code::ConcurrentTransactions
        | Code::InvalidProducerIdMapping
        | Code::UnknownProducerId
        | Code::OutOfOrderSequenceNumber
        | Code::KafkaStorageError
        | Code::ThrottlingQuotaExceeded => ErrorKind::Unavailable,
        _ => return None,
    })
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error too; these are librdkafka's own words, for who looks for them.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        tracing::debug!(target: "librdkafka", %error, reason);
        // All down is what the others before it explain.
        if let Some(code) = code.filter(|code| *code != Code::AllBrokersDown) {
            let mut trouble = lock(&self.trouble);
            *trouble = Some(Trouble { code, reason: reason.to_owned(), at: Instant::now() });
        }
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::kafka::tokens::tests::{supply, token};

    #[test]
    fn a_refused_login_is_no_refusal_while_a_token_is_overdue_or_has_just_come_too_late() {
        let supply = supply();
        let context = Context { trouble: Arc::default(), tokens: Some(Arc::clone(&supply)) };
        let kind = |code| context.failure("cannot ask", code).kind();
        supply.have(token("first", 60));
        assert_eq!(kind(Code::Authentication), ErrorKind::Denied);
        // On a connection only, of a question that got no answer.
        context.error(KafkaError::Global(Code::Authentication), "refused");
        assert_eq!(kind(Code::OperationTimedOut), ErrorKind::Denied);
        supply.fail(&Error::new(ErrorKind::Unavailable, "the endpoint is away"));
        for code in [Code::Authentication, Code::SaslAuthenticationFailed, Code::OperationTimedOut] {
            let e = context.failure("cannot ask", code);
            assert!(e.kind() == ErrorKind::Unavailable && e.to_string().contains("the endpoint is away"), "{e}");
        }
        // What somebody may not do he may not do with any token.
        assert_eq!(kind(Code::TopicAuthorizationFailed), ErrorKind::Denied);
        supply.have(token("expired", -1));
        assert_eq!(kind(Code::OperationTimedOut), ErrorKind::Unavailable);
        supply.have(token("late", 60));
        assert_eq!(kind(Code::Authentication), ErrorKind::Unavailable);
        supply.have(token("in time", 60));
        assert_eq!(kind(Code::Authentication), ErrorKind::Denied);
        supply.fail(&Error::new(ErrorKind::Denied, "the client is locked"));
        assert!(context.failure("cannot ask", Code::Authentication).to_string().contains("the client is locked"));
    }

    #[test]
    fn an_error_that_never_passes_is_not_one_to_try_again() {
        for (code, kind) in [
            (Code::InvalidTransactionTimeout, ErrorKind::Invalid),
            (Code::UnsupportedVersion, ErrorKind::Invalid),
            (Code::UnsupportedFeature, ErrorKind::Invalid),
            (Code::NotImplemented, ErrorKind::Invalid),
            (Code::InvalidArgument, ErrorKind::Invalid),
            (Code::TopicAuthorizationFailed, ErrorKind::Denied),
            (Code::ProducerFenced, ErrorKind::Fenced),
            (Code::NotEnoughReplicas, ErrorKind::Unavailable),
            (Code::OperationTimedOut, ErrorKind::Unavailable),
            // Not known, and so not given up.
            (Code::GroupIdNotFound, ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
            assert_eq!(kind_of_read(code), kind, "{code}");
        }
    }

    #[test]
    fn bytes_that_are_not_those_that_were_written_are_damage_to_who_reads_them() {
        for code in [Code::BadMessage, Code::BadCompression, Code::InvalidMessage] {
            assert_eq!(kind_of_read(code), ErrorKind::Corrupt, "{code}");
            // An answer of another kind that makes no sense is asked for again.
            assert_eq!(kind_of(code), ErrorKind::Unavailable, "{code}");
        }
    }
}
