//! A hub inside an axum application: messages between users who have logged in, and a clock for all of them.
//!
//! What is shown here: `/events` as a path of the application's own, the application's session deciding what a reader gets,
//! publishing from a handler and from a background task, a log on disk so that pages go on after a restart, and an end in order.
//!
//! Not here: passwords, and a database. `cargo run -p axum-app`, then open the page that it names.

mod sessions;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as InPath, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Form, Router};
use serde::Deserialize;
use tidewire_hub::{Builder, Event, Hub, Response, Topic, now_ms, random_seed};
use tidewire_log_disk::{DiskConfig, DiskLog};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use sessions::Sessions;

/// How long the end waits for clients to take what is left for them, once all streams have been told to end.
const END_MAX: Duration = Duration::from_secs(2);

/// The application. Every clone is the same one.
#[derive(Clone)]
pub struct App {
    hub: Hub,
    sessions: Arc<Sessions>,
}

impl App {
    /// Opens it with what it keeps in this directory.
    ///
    /// # Errors
    /// If that cannot be read, or another process has it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let config = DiskConfig::new(now_ms(), random_seed());
        let log = DiskLog::open(dir.join("log"), config).map_err(io::Error::other)?;
        Ok(Self {
            hub: hub(Hub::builder(Arc::new(log)))?,
            sessions: Arc::new(Sessions::open(&dir.join("sessions"))?),
        })
    }

    /// Its hub.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Serves it until `stop` resolves; then streams end between frames, and running requests are answered.
    ///
    /// # Errors
    /// As the server says.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let clock = tokio::spawn(tick(self.hub.clone()));
        let (ending, ended) = oneshot::channel::<()>();
        let tended = self.hub.tend(stop);
        let stopped = async {
            tended.await;
            drop(ending);
        };
        // A small event leaves at once, and does not wait for the one before it to be acknowledged.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(stopped);
        // axum waits for ever for a client that does not read what is left.
        let late = async {
            let _ = ended.await;
            tokio::time::sleep(END_MAX).await;
        };
        let served = tokio::select! {
            served = served.into_future() => served,
            () = late => Ok(()),
        };
        clock.abort();
        served
    }

    fn router(self) -> Router {
        Router::new()
            .route("/", get(page))
            .route("/login", post(login))
            .route("/logout", post(logout))
            .route("/events", get(events))
            .route("/messages/{to}", post(send))
            .with_state(self)
    }
}

fn hub(builder: Builder) -> io::Result<Hub> {
    // axum's connections hold the streams: the hub needs no threads for them.
    builder.shards(0).build()
}

/// Everybody's.
fn clock() -> Topic {
    Topic::parse("clock").expect("it is a topic")
}

/// A user's own. Whose name is good was decided at the login.
fn inbox(user: &str) -> Topic {
    Topic::parse(&format!("users/{user}")).expect("a user's name is short and plain")
}

/// The stream: the clock, and the user's own messages, whoever else's a page may ask for.
async fn events(State(app): State<App>, parts: Parts) -> Result<Response, StatusCode> {
    // Before the session is looked up: who logs out meanwhile is left no stream.
    let reader = app.hub.reader();
    let session = app.sessions.of(&parts.headers);
    let session = session.ok_or(StatusCode::UNAUTHORIZED)?;
    let reader = reader
        .topic(clock())
        .private_topic(inbox(&session.user))
        .user(session.user)
        .session(session.id);
    Ok(app.hub.answer(&parts, reader).await)
}

/// A message to somebody: published once it is on disk, and only they can read it.
async fn send(
    State(app): State<App>,
    InPath(to): InPath<String>,
    parts: Parts,
    text: String,
) -> Result<String, StatusCode> {
    let from = app.sessions.of(&parts.headers);
    let from = from.ok_or(StatusCode::UNAUTHORIZED)?;
    if !sessions::is_name(&to) {
        return Err(StatusCode::NOT_FOUND);
    }
    let message = Event::private(inbox(&to), format!("{}: {text}", from.user));
    let sent = app.hub.publish(message).await;
    sent.map(|cursor| cursor.to_string())
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// Nobody waits for this one: an event whenever there is something to tell.
async fn tick(hub: Hub) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        let time = Event::public(clock(), (now_ms() / 1000).to_string());
        if let Err(error) = hub.publish(time).await {
            // The next one may find room again; what cannot be stored is not shown to anybody.
            complain(&format!("the clock stands still: {error}"));
        }
    }
}

#[expect(clippy::print_stderr, reason = "an application may say something")]
fn complain(line: &str) {
    eprintln!("{line}");
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

/// A stand-in for yours: it believes everybody.
async fn login(State(app): State<App>, Form(login): Form<Login>) -> Response {
    if !sessions::is_name(&login.user) {
        return (StatusCode::BAD_REQUEST, "a name is 1 to 32 letters").into_response();
    }
    match app.sessions.begin(&login.user) {
        Ok(cookie) => ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn logout(State(app): State<App>, parts: Parts) -> Response {
    if let Some(session) = app.sessions.of(&parts.headers) {
        app.sessions.end(&session.id);
        // Once the session is gone: its streams end in every tab.
        app.hub.end_session(&session.id);
    }
    Redirect::to("/").into_response()
}

async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

/// What the hub crate's README says of axum and of a log on disk compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../crates/hub/README.md")]
struct Readme;
