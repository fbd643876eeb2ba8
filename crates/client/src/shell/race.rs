//! A TCP connection to a URL's host: its addresses are tried one after the other, the next as soon as one has failed or a moment
//! has passed, and the first that answers is it (RFC 8305, without its finer points). Not here: how long all of it may take.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use url::{Host, Url};

/// RFC 8305, section 8: the Connection Attempt Delay.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// What comes after the first question of a keep-alive.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// How many of them stay without an answer until nobody is there.
const KEEPALIVE_MAX: u32 = 3;

/// Connects to the host and port of a URL.
pub(super) async fn connect(url: &Url, keepalive_after: Option<Duration>) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses = match url.host() {
        Some(Host::Ipv4(address)) => vec![SocketAddr::from((address, port))],
        Some(Host::Ipv6(address)) => vec![SocketAddr::from((address, port))],
        Some(Host::Domain(name)) => tokio::net::lookup_host((name, port)).await?.collect(),
        None => Vec::new(),
    };
    let socket = Race::new(addresses, TcpStream::connect).await?;
    // Only a delay would be lost.
    let _ = socket.set_nodelay(true);
    if let Some(after) = keepalive_after {
        let asks = TcpKeepalive::new()
            .with_time(after)
            .with_interval(KEEPALIVE_EVERY)
            .with_retries(KEEPALIVE_MAX);
        // A system that cannot is one where a vanished server is noticed later, or by its silence.
        let _ = SockRef::from(&socket).set_tcp_keepalive(&asks);
    }
    Ok(socket)
}

/// By turns of one family and the other, each in the resolver's order: where one family leads nowhere, the second address
/// already is of the other.
fn by_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let is_first_family = addresses.first().map(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| Some(address.is_ipv6()) == is_first_family);
    let mut all = VecDeque::new();
    while !first.is_empty() || !second.is_empty() {
        all.extend(first.pop_front());
        all.extend(second.pop_front());
    }
    all
}

struct Race<C, F> {
    waiting: VecDeque<SocketAddr>,
    connect: C,
    running: Vec<Pin<Box<F>>>,
    next: Pin<Box<Sleep>>,
    /// The first failure: of the address that the resolver liked best.
    failure: Option<io::Error>,
}

impl<C, F, T> Race<C, F>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    #[allow(clippy::new_ret_no_self)]
    fn new(addresses: Vec<SocketAddr>, connect: C) -> impl Future<Output = io::Result<T>> {
        let mut race = Self {
            waiting: by_turns(addresses),
            connect,
            running: Vec::new(),
            next: Box::pin(tokio::time::sleep(NEXT_AFTER)),
            failure: None,
        };
        race.start();
        async move { poll_fn(|context| race.poll(context)).await }
    }

    fn start(&mut self) {
        if let Some(address) = self.waiting.pop_front() {
            self.running.push(Box::pin((self.connect)(address)));
            self.next.as_mut().reset(Instant::now() + NEXT_AFTER);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            let mut at = 0;
            let running_before = self.running.len();
            while let Some(attempt) = self.running.get_mut(at) {
                match attempt.as_mut().poll(context) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(error)) => {
                        self.failure.get_or_insert(error);
                        drop(self.running.remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let has_failed = self.running.len() < running_before;
            if self.waiting.is_empty() && self.running.is_empty() {
                return Poll::Ready(Err(self.failure.take().unwrap_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, "its name has no address")
                })));
            }
            if self.waiting.is_empty() {
                return Poll::Pending;
            }
            if !has_failed && self.next.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.start();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What an address does.
    #[derive(Clone, Copy)]
    enum Does {
        Answers,
        Refuses,
        /// Nothing comes back, ever.
        Swallows,
    }
    use Does::{Answers, Refuses, Swallows};

    fn address(at: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], u16::try_from(at).unwrap()))
    }

    /// The port that won, or the error, and the ports that were tried.
    async fn run(table: &[Does]) -> (io::Result<u16>, Vec<u16>) {
        let tried = Mutex::new(Vec::new());
        let addresses = (0..table.len()).map(address).collect();
        let won = Race::new(addresses, |address| {
            tried.lock().unwrap().push(address.port());
            async move {
                match table[usize::from(address.port())] {
                    Answers => Ok(address.port()),
                    Refuses => Err(io::Error::other(format!("refused {}", address.port()))),
                    Swallows => std::future::pending().await,
                }
            }
        })
        .await;
        (won, tried.into_inner().unwrap())
    }

    /// Time stands still unless everybody waits: whatever is waited for is waited for exactly.
    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_is_it() {
        let table: [(&[Does], Option<u16>, usize); 6] = [
            (&[Answers, Answers], Some(0), 1),
            (&[Refuses, Answers], Some(1), 2),
            (&[Swallows, Answers, Answers], Some(1), 2),
            (&[Swallows, Refuses, Refuses, Answers], Some(3), 4),
            (&[Refuses, Refuses], None, 2),
            (&[], None, 0),
        ];
        for (at, (does, want, tried)) in table.into_iter().enumerate() {
            let (won, all) = run(does).await;
            assert_eq!(won.as_ref().ok(), want.as_ref(), "{at}");
            assert_eq!(all.len(), tried, "{at}");
            if want.is_none() && !does.is_empty() {
                assert_eq!(won.unwrap_err().to_string(), "refused 0");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_starts_after_a_failure_at_once_and_else_after_a_moment() {
        for (does, waited) in [
            (&[Refuses, Answers][..], Duration::ZERO),
            (&[Swallows, Answers], NEXT_AFTER),
            (&[Swallows, Swallows, Answers], NEXT_AFTER * 2),
        ] {
            let begun = Instant::now();
            run(does).await.0.unwrap();
            // The runtime's clock is coarse, by a millisecond.
            let more = begun.elapsed().saturating_sub(waited);
            assert!(
                begun.elapsed() >= waited && more < NEXT_AFTER / 10,
                "{more:?}"
            );
        }
    }

    #[tokio::test]
    async fn connections_are_kept_alive_as_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let url = Url::parse(&url).unwrap();
        for after in [None, Some(Duration::from_secs(45))] {
            let socket = connect(&url, after).await.unwrap();
            let socket = SockRef::from(&socket);
            assert!(socket.tcp_nodelay().unwrap());
            assert_eq!(socket.keepalive().unwrap(), after.is_some());
            #[cfg(target_os = "linux")]
            if let Some(after) = after {
                assert_eq!(socket.tcp_keepalive_time().unwrap(), after);
                assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
            }
        }
    }

    #[test]
    fn families_take_turns() {
        let parse = |list: &str| -> Vec<SocketAddr> {
            list.split(' ').map(|text| text.parse().unwrap()).collect()
        };
        for (given, want) in [
            ("[::1]:1 [::2]:1 1.1.1.1:1", "[::1]:1 1.1.1.1:1 [::2]:1"),
            ("1.1.1.1:1 1.1.1.2:1 [::1]:1", "1.1.1.1:1 [::1]:1 1.1.1.2:1"),
            ("1.1.1.1:1 1.1.1.2:1", "1.1.1.1:1 1.1.1.2:1"),
        ] {
            assert_eq!(Vec::from(by_turns(parse(given))), parse(want));
        }
    }
}
