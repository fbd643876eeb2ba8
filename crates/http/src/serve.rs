//! Serving connections: accepting them, telling HTTP/1 from HTTP/2, and handing sockets over to shards.
//!
//! ```text
//! accept -> first bytes -> the preface of HTTP/2 -> the h2 crate's connection until it ends
//!                       -> anything else -> hyper's http1 -> ... -> a request asks for takeover
//!                                              ^                      -> earlier answers flushed
//!                                              +-- answers, keep-alive      -> plain: socket to a shard
//!                                                                           -> else: a small task of its own
//! ```

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::access::Secure;
use crate::connection;
use crate::front::Front;
use crate::router::router;
use crate::takeover::Rest;

/// How long accepting rests when the system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the log is told the time, by which it drops what has ended.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the embedder's server has let go of the streams that have ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How many times as often as it lets go of revocations that are over.
const EXPIRE_EVERY: u64 = 60;

/// Serves a hub on these listeners until `shutdown` resolves; then ends every stream between frames and answers running
/// publishes, for [`crate::Settings::drain`] at most. Meanwhile the log is told the time, so that retention by age goes on.
pub async fn serve(front: &Front, listeners: Vec<TcpListener>, shutdown: impl Future<Output = ()>) {
    let mut router = router(front.clone());
    if front.settings().tls.is_some() {
        router = router.layer(axum::Extension(Secure));
    }
    let maintaining = begin(front);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        #[cfg(target_os = "linux")]
        connection::set_options(front, (&listener).into());
        accepting.spawn(accept(front.clone(), router.clone(), listener));
    }
    shutdown.await;
    let deadline = tokio::time::Instant::now() + front.settings().drain;
    // The listeners close here, and with each accept task its connections come back to be waited for.
    front.drain().await;
    let ended = async { while accepting.join_next().await.is_some() {} };
    if tokio::time::timeout_at(deadline, ended).await.is_err() {
        tracing::warn!("connections were cut that did not end in time");
    }
    front.end_presence().await;
    drop(maintaining);
}

/// What a hub does besides answering, for embedders whose own server asks it: the log is told the time, keys are fetched. When
/// `shutdown` resolves, no stream begins any more and every stream ends between frames; this returns when they have, after
/// [`crate::Settings::drain`] at the latest. Publishing goes on.
pub async fn tend(front: &Front, shutdown: impl Future<Output = ()>) {
    let maintaining = begin(front);
    shutdown.await;
    let deadline = tokio::time::Instant::now() + front.settings().drain;
    front.drain().await;
    let ended = async {
        while front.slots().subscribers() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout_at(deadline, ended).await.is_err() {
        tracing::warn!("streams are left that nobody reads");
    }
    front.end_presence().await;
    drop(maintaining);
}

/// What runs beside connections until it is dropped.
fn begin(front: &Front) -> JoinSet<()> {
    front.keyring().keep();
    let mut maintaining = JoinSet::new();
    maintaining.spawn(maintain(front.clone()));
    maintaining
}

async fn maintain(front: Front) {
    let mut tick = tokio::time::interval(MAINTAIN_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0_u64.. {
        tick.tick().await;
        if round % EXPIRE_EVERY == 0 {
            front.revocations().expire(front.now_ms()).await;
        }
        let front = front.clone();
        // Dropping segments touches the disk.
        let _ = tokio::task::spawn_blocking(move || front.log().maintain(front.now_ms())).await;
    }
}

async fn accept(front: Front, router: Router, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut drained = pin!(front.drained());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    front.counting().connections.one();
                    let present = front.counting().serving.enter();
                    let serving = connection::serve(front.clone(), router.clone(), socket);
                    connections.spawn(async {
                        let rest = serving.await;
                        drop(present);
                        rest
                    });
                }
                Err(error) => {
                    front.counting().accept_errors.one();
                    if !is_of_one_connection(&error) {
                        tracing::warn!(%error, "no connection can be accepted for now");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => go_on(&mut connections, ended),
            () = &mut drained => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        go_on(&mut connections, ended);
    }
}

/// A connection that gave way to something smaller goes on as that, in a task that is as small.
fn go_on(
    connections: &mut JoinSet<Option<Rest>>,
    ended: Result<Option<Rest>, tokio::task::JoinError>,
) {
    if let Ok(Some(rest)) = ended {
        connections.spawn(async {
            rest.await;
            None
        });
    }
}

/// Errors that concern the connection that was to be accepted, and not the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
