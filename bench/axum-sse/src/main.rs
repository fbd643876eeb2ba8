//! The axum baseline of the fan-out comparison: `axum::response::Sse` over one `tokio::sync::broadcast` channel a topic, as
//! its documentation suggests. Settings a careful user would choose: TCP_NODELAY, jemalloc, the default keep-alive, room for
//! 4,096 events a channel (fewer where there are thousands of topics: a channel's memory is taken at once), the event encoded by `Event` for each subscriber (there is no other way in), lag skipped.
//!
//!     bench-axum-sse [--port N] [--threads N] [--channel-events N]

// A command line tool of this repository: its output is its result.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use futures_util::{Stream, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: bench-axum-sse [--port N] [--threads N] [--channel-events N]";

/// Events a slow subscriber may be behind.
const CHANNEL_EVENTS: usize = 4096;

/// An event's id and data, shared by its readers.
type Published = Arc<(String, String)>;

#[derive(Default)]
struct Hub {
    topics: RwLock<HashMap<String, broadcast::Sender<Published>, foldhash::fast::RandomState>>,
    position: AtomicU64,
    channel_events: usize,
}

impl Hub {
    fn subscribe(&self, topic: String) -> broadcast::Receiver<Published> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics
            .entry(topic)
            .or_insert_with(|| broadcast::channel(self.channel_events).0)
            .subscribe()
    }

    fn publish(&self, topic: &str, data: String) -> String {
        let position = self.position.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("#1-{position}");
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = topics.get(topic) {
            // Refused when nobody listens: nothing to do then.
            let _ = channel.send(Arc::new((id.clone(), data)));
        }
        id
    }
}

async fn subscribe(
    State(hub): State<Arc<Hub>>,
    Path(topic): Path<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(hub.subscribe(topic), |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(published) => {
                    let event = Event::default().id(&published.0).data(&published.1);
                    return Some((Ok(event), receiver));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn publish(State(hub): State<Arc<Hub>>, Path(topic): Path<String>, data: String) -> String {
    hub.publish(&topic, data)
}

struct Options {
    port: u16,
    threads: usize,
    channel_events: usize,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        port: 0,
        threads: 1,
        channel_events: CHANNEL_EVENTS,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--port" => options.port = value.parse().ok()?,
            "--threads" => options.threads = value.parse().ok().filter(|n| *n > 0)?,
            "--channel-events" => options.channel_events = value.parse().ok().filter(|n| *n > 0)?,
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-axum-sse: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> std::io::Result<()> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: files.maximum,
            maximum: files.maximum,
        },
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads)
        .enable_all()
        .build()?;
    let hub = Hub {
        channel_events: options.channel_events,
        ..Hub::default()
    };
    let router = Router::new()
        .route("/topics/{*topic}", get(subscribe).post(publish))
        .with_state(Arc::new(hub));
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        println!("listening http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        axum::serve(listener, router).await
    })
}
