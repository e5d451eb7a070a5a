//! A mirror, or one half of it, as a service: runs until it is told to stop, can be paused, says over HTTP how it is.

use crate::connect_rest::{self, Connector};
use crate::{Interrupt, Options, Outcome, Progress, output};
use mirror::{Error, ErrorKind, Halves, Mirror, MirrorConfig, MirrorStatus, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// How often it is looked at what there is to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a service is run.
#[derive(Debug, Clone, Default)]
pub struct ServiceOptions {
    /// Where HTTP is spoken; nowhere if `None`. Anyone who can connect may pause and restart.
    pub listen: Option<SocketAddr>,
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Running,
    Paused,
}

/// What a service can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Pause,
    Resume,
    Restart,
}

/// Why a mirror was followed no further.
enum Left {
    Interrupted,
    Ended(Result<()>),
    Asked(Wish),
}

/// Runs what the configuration says until Ctrl-C, SIGTERM, or until it cannot go on.
///
/// # Errors
/// Those of [`Mirror::start`] and of what ends a mirror; [`ErrorKind::Unavailable`] if the address is taken.
pub async fn run(options: &Options, config: MirrorConfig, service: &ServiceOptions) -> Result<Outcome> {
    let mut interrupt = Interrupt::listen()?;
    let (wishes, mut wished) = mpsc::channel(16);
    let (state, _) = watch::channel(State::Starting);
    let (status, _) = watch::channel(MirrorStatus::default());
    if let Some(address) = service.listen {
        let listener = TcpListener::bind(address).await.map_err(|e| {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "cannot listen on {address}: {e}\n  → another service has it: --listen another address, or --listen none"
                ),
            )
            .with_source(e)
        })?;
        let bound = listener.local_addr().map_or(address, |bound| bound);
        if !options.quiet && !options.json {
            output::say(&format!("http://{bound}: /metrics, /health, /ready, /connectors\n"));
        }
        let connector = Connector {
            name: config.source.topic_prefix.clone(),
            kind: if config.halves == Halves::Sink { "sink" } else { "source" },
            worker: bound.to_string(),
            state: state.subscribe(),
            status: status.subscribe(),
            wishes,
        };
        tokio::spawn(connect_rest::serve(listener, Arc::new(connector)));
    }
    let mut progress = Progress::new(options);
    loop {
        state.send_replace(State::Starting);
        let mirror = tokio::select! {
            mirror = Mirror::start(config.clone()) => mirror?,
            () = interrupt.wait() => return Ok(Outcome::Done),
        };
        state.send_replace(State::Running);
        let left = follow(&mirror, &mut interrupt, &mut wished, &status, &mut progress).await;
        progress.clear();
        let last = mirror.stop().await;
        if let Left::Ended(Err(e)) = left {
            return Err(e);
        }
        let last = last?;
        progress.name_stops(&last);
        status.send_replace(last.clone());
        match left {
            Left::Interrupted | Left::Ended(_) => {
                return Ok(if last.stopped().next().is_some() { Outcome::StoppedTables } else { Outcome::Done });
            }
            Left::Asked(Wish::Pause) => {
                state.send_replace(State::Paused);
                loop {
                    tokio::select! {
                        () = interrupt.wait() => return Ok(Outcome::Done),
                        wish = wished.recv() => match wish {
                            Some(Wish::Pause) => {}
                            Some(Wish::Resume | Wish::Restart) => break,
                            // Nobody can wish for anything any more.
                            None => return Ok(Outcome::Done),
                        }
                    }
                }
            }
            Left::Asked(_) => {}
        }
    }
}

async fn follow(
    mirror: &Mirror,
    interrupt: &mut Interrupt,
    wished: &mut mpsc::Receiver<Wish>,
    status: &watch::Sender<MirrorStatus>,
    progress: &mut Progress,
) -> Left {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = interrupt.wait() => return Left::Interrupted,
            ended = mirror.ended() => return Left::Ended(ended),
            Some(wish) = wished.recv() => if wish != Wish::Resume { return Left::Asked(wish) },
            _ = tick.tick() => {
                let now = mirror.status();
                progress.show(&now);
                status.send_replace(now);
            }
        }
    }
}

/// The address of an option; `none` is no address.
///
/// # Errors
/// [`ErrorKind::Configuration`] if it is none.
pub fn address(text: &str) -> Result<Option<SocketAddr>> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|e| {
        Error::configuration(format!("--listen {text}: {e}\n  → write address:port, as in 127.0.0.1:8083, or none"))
            .with_source(e)
    })
}
