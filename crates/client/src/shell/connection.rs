//! One request over one connection, polled by its owner: dialing, sending, reading. Not here: what the answer means, and how
//! connections are made (`dial`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use http_body::Body as _;

use super::dial::Dialer;
use super::exchange::{Answer, Body, Driver};
use crate::Error;
use crate::machine::Attempt;

/// What a poll brought.
pub(super) enum Progress {
    Head(StatusCode, HeaderMap),
    Bytes(Bytes),
    End,
    Failed(Error),
}

enum Stage {
    Dialing(Pin<Box<dyn Future<Output = Result<(Driver, Answer), Error>> + Send>>),
    Sending(Answer),
    Reading(Body),
}

/// Dropping it closes the socket.
pub(super) struct Connection {
    stage: Stage,
    /// It must be polled for anything else to move. `None` before it exists and once it is done.
    driver: Option<Driver>,
}

impl Connection {
    pub(super) fn dial(dialer: Dialer, attempt: Attempt, connect_max: Duration) -> Self {
        let dialing = async move {
            let (mut sender, driver) = dialer.dial(&attempt.url, connect_max).await?;
            Ok((driver, sender.send(attempt)))
        };
        Self {
            stage: Stage::Dialing(Box::pin(dialing)),
            driver: None,
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        loop {
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(context).is_ready()
            {
                // Whether that was an end or a failure is told by the answer or its body.
                self.driver = None;
            }
            match &mut self.stage {
                Stage::Dialing(dialing) => match ready!(dialing.as_mut().poll(context)) {
                    Ok((driver, answer)) => {
                        self.driver = Some(driver);
                        self.stage = Stage::Sending(answer);
                    }
                    Err(error) => return Poll::Ready(Progress::Failed(error)),
                },
                Stage::Sending(answer) => match ready!(Pin::new(answer).poll(context)) {
                    Ok(response) => {
                        let (head, body) = response.into_parts();
                        self.stage = Stage::Reading(body);
                        return Poll::Ready(Progress::Head(head.status, head.headers));
                    }
                    Err(error) => return Poll::Ready(Progress::Failed(error)),
                },
                Stage::Reading(body) => match ready!(Pin::new(body).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Progress::Bytes(bytes));
                        }
                    }
                    Some(Err(error)) => return Poll::Ready(Progress::Failed(error)),
                    None => return Poll::Ready(Progress::End),
                },
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Dialing(_) => "Connection(dialing)",
            Stage::Sending(_) => "Connection(sending)",
            Stage::Reading(_) => "Connection(reading)",
        })
    }
}
