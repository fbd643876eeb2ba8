//! The application over real sockets: what users see of each other, a restart, a logout, an end in order, and what a thousand readers cost.

use std::path::Path;
use std::time::Duration;

use axum_app::App;
use tidewire_hub::{Event, Topic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything is waited for that must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a frame, which ends with a blank line: a body that is whole.
const LAST_CHUNK: &str = "\n\n\r\n0\r\n\r\n";

struct Running {
    app: App,
    address: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(dir: &Path) -> Self {
        let app = App::open(dir).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        Self {
            served: tokio::spawn(app.clone().serve(listener, stopped)),
            app,
            address,
            stop,
        }
    }

    /// Ends as at SIGINT; whoever reads must not hold it up.
    async fn stop(self) {
        self.stop.send(()).unwrap();
        let served = timeout(PATIENCE, self.served).await;
        served.expect("it ends with its readers").unwrap().unwrap();
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Client {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            self.address
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut client = Client {
            socket,
            text: String::new(),
        };
        client.until("\r\n\r\n").await;
        client
    }

    /// The cookie of a new session.
    async fn login(&self, user: &str) -> String {
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let body = format!("user={user}");
        let answer = self.ask("POST", "/login", form, &body).await.text;
        let cookie = answer.split("set-cookie: ").nth(1).expect(&answer);
        format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
    }

    async fn events(&self, cookie: &str, more: &str) -> Client {
        let client = self
            .ask("GET", "/events", &format!("{cookie}{more}"), "")
            .await;
        assert!(
            client.text.starts_with("HTTP/1.1 200 OK"),
            "{}",
            client.text
        );
        client
    }

    /// Sends a message, and says its id.
    async fn send(&self, cookie: &str, to: &str, text: &str) -> String {
        let path = format!("/messages/{to}");
        let mut answer = self.ask("POST", &path, cookie, text).await;
        assert!(answer.text.starts_with("HTTP/1.1 200 "), "{}", answer.text);
        answer.until("\r\n\r\n#").await;
        answer.text.split("\r\n\r\n").nth(1).unwrap().to_owned()
    }

    async fn publish(&self, topic: &str, data: &str) {
        let event = Event::private(Topic::parse(topic).unwrap(), data);
        self.app.hub().publish(event).await.unwrap();
    }
}

/// A connection and all that came by it.
struct Client {
    socket: TcpStream,
    text: String,
}

impl Client {
    /// Reads one piece; `false` at the end.
    async fn read(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        let read = timeout(PATIENCE, self.socket.read(&mut piece)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing more after {:?}", self.text));
        let count = read.unwrap_or(0);
        self.text += std::str::from_utf8(&piece[..count]).unwrap();
        count > 0
    }

    async fn until(&mut self, text: &str) {
        let mut looked = 0;
        while !self.text[looked..].contains(text) {
            // Not all of it again for each piece; it is all ASCII.
            looked = self.text.len().saturating_sub(text.len());
            assert!(self.read().await, "it ended before {text:?}: {}", self.text);
        }
    }

    fn data(&self) -> Vec<&str> {
        let lines = self.text.lines();
        let data = lines.filter_map(|line| line.strip_prefix("data: "));
        // The clock's, and the checkpoints'.
        data.filter(|data| data.contains(": ")).collect()
    }
}

#[tokio::test]
async fn users_see_their_own_messages_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let app = Running::start(dir.path()).await;
    let nobody = app.ask("GET", "/events", "", "").await;
    assert!(nobody.text.starts_with("HTTP/1.1 401 "), "{}", nobody.text);
    let forged = app.ask("GET", "/events", "Cookie: session=1\r\n", "").await;
    assert!(forged.text.starts_with("HTTP/1.1 401 "), "{}", forged.text);
    let (ada, ben) = (app.login("ada").await, app.login("ben").await);
    // Whatever a page asks for, its session decides.
    let mut adas = app.events(&ada, "").await;
    let mut bens = app
        .ask("GET", "/events?topic=users/ada&match=*", &ben, "")
        .await;
    app.send(&ben, "ada", "for ada").await;
    app.send(&ada, "ben", "for ben").await;
    app.send(&ada, "ada", "the last").await;
    app.send(&ben, "ben", "the last").await;
    adas.until("ada: the last").await;
    bens.until("ben: the last").await;
    assert_eq!(adas.data(), ["ben: for ada", "ada: the last"]);
    assert_eq!(bens.data(), ["ada: for ben", "ben: the last"]);
    let stranger = app.ask("POST", "/messages/ada", "", "hello").await;
    assert!(stranger.text.starts_with("HTTP/1.1 401 "));
    app.stop().await;
}

#[tokio::test]
async fn a_page_goes_on_after_a_restart_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let app = Running::start(dir.path()).await;
    let ada = app.login("ada").await;
    let mut stream = app.events(&ada, "").await;
    let first = app.send(&ada, "ada", "one").await;
    stream.until("ada: one").await;
    // The end of the application ends the stream, between frames, and nothing else does.
    app.send(&ada, "ada", "two").await;
    app.stop().await;
    stream.until(LAST_CHUNK).await;
    let app = Running::start(dir.path()).await;
    app.send(&ada, "ada", "three").await;
    let resume = format!("Last-Event-ID: {first}\r\n");
    let mut stream = app.events(&ada, &resume).await;
    stream.until("ada: three").await;
    assert_eq!(stream.data(), ["ada: two", "ada: three"]);
    assert!(!stream.text.contains("tidewire-gap"), "{}", stream.text);
    app.stop().await;
}

#[tokio::test]
async fn a_logout_ends_the_streams_of_its_session_alone() {
    let dir = tempfile::tempdir().unwrap();
    let app = Running::start(dir.path()).await;
    let (here, there) = (app.login("ada").await, app.login("ada").await);
    let (tab, other_tab) = (app.events(&here, "").await, app.events(&here, "").await);
    let mut elsewhere = app.events(&there, "").await;
    let answer = app.ask("POST", "/logout", &here, "").await;
    assert!(answer.text.starts_with("HTTP/1.1 303 "), "{}", answer.text);
    for mut ended in [tab, other_tab] {
        ended.until(LAST_CHUNK).await;
    }
    let again = app.ask("GET", "/events", &here, "").await;
    assert!(again.text.starts_with("HTTP/1.1 401 "), "{}", again.text);
    app.send(&there, "ada", "still here").await;
    elsewhere.until("ada: still here").await;
    app.stop().await;
}

/// Each gets each event once and in order, and one that does not read holds up nobody, and misses nothing.
#[tokio::test]
async fn a_thousand_readers() {
    const READERS: usize = 1000;
    const EVENTS: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let app = Running::start(dir.path()).await;
    let ada = app.login("ada").await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(app.events(&ada, "").await);
    }
    let mut slow = app.events(&ada, "").await;
    assert_eq!(app.app.hub().subscribers(), READERS + 1);
    for at in 0..EVENTS {
        app.publish("users/ada", &format!("event: {at}")).await;
    }
    let want: Vec<_> = (0..EVENTS).map(|at| format!("event: {at}")).collect();
    for reader in &mut readers {
        reader.until(&want[EVENTS - 1]).await;
        assert_eq!(reader.data(), want);
    }
    drop(readers);
    // More than any buffer between the log and a socket holds.
    let long = "x".repeat(256 << 10);
    for at in 0..64 {
        app.publish("users/ada", &format!("long: {at} {long}"))
            .await;
    }
    let stuck = app.events(&ada, "Last-Event-ID: earliest\r\n").await;
    slow.until("data: long: 63 ").await;
    assert_eq!(slow.data().len(), EVENTS + 64);
    // Nor does one that has stopped reading hold up the end.
    app.stop().await;
    drop(stuck);
}
