//! Why a request was refused: one word each, for a metric's label. Bounded, and never anything that a client sent.

use tidewire_auth::Refusal;
use tidewire_log::AppendError;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $word:literal,)*) => {
        /// Why a request was refused. In the extensions of the answer that says so, until the door has counted it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            pub(crate) const ALL: [Self; [$($word),*].len()] = [$(Self::$name),*];

            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

reasons! {
    /// For another name than a loopback one, at a hub without keys; or than one that is allowed.
    Host "host",
    /// Forwarded, to a hub without keys.
    Forwarded "forwarded",
    /// A page of an origin that may not.
    Origin "origin",
    /// No token where one is needed.
    TokenMissing "token_missing",
    /// Longer than a token may be.
    TokenTooLong "token_too_long",
    /// No JWS.
    TokenMalformed "token_malformed",
    /// A modern token in a URL.
    TokenInQuery "token_in_query",
    /// A legacy token on a modern request.
    TokenDialect "token_dialect",
    /// No access token by its type.
    TokenType "token_type",
    /// Nobody trusts its issuer, or not in this role.
    TokenIssuer "token_issuer",
    /// No key that it may be signed with is known.
    TokenKeyUnknown "token_key_unknown",
    /// For another hub.
    TokenAudience "token_audience",
    /// Without an end.
    TokenEndless "token_endless",
    /// One of its authorization details is wrong.
    TokenDetail "token_detail",
    /// Taken back.
    TokenRevoked "token_revoked",
    /// By a signed URL that is not good.
    SignedUrl "signed_url",
    /// Demands an extension that we do not know.
    TokenCritical "token_critical",
    /// The hub has no key to check it with.
    TokenNoKey "token_no_key",
    /// Signed with another algorithm than the key is for.
    TokenAlgorithm "token_algorithm",
    /// The signature is not the key's.
    TokenSignature "token_signature",
    /// Its time is over.
    TokenExpired "token_expired",
    /// Its time has not come.
    TokenNotYet "token_not_yet",
    /// A claim has the wrong shape.
    TokenClaim "token_claim",
    /// It grants nothing in this role.
    TokenNotGranted "token_not_granted",
    /// It does not grant one of the event's topics.
    TopicNotGranted "topic_not_granted",
    /// This build checks no signatures.
    TokenUnverifiable "token_unverifiable",
    /// The keys that would say whether a token is good have never been fetched.
    KeysUnfetched "keys_unfetched",
    /// The authorization hook does not allow it.
    HookDenied "hook_denied",
    /// The authorization hook does not answer, or not so that it can be understood.
    HookFailed "hook_failed",
    /// A stream is to be changed with somebody else's token.
    StreamHolder "stream_holder",
    /// A parameter is wrong.
    BadParameter "bad_parameter",
    /// The event cannot be published.
    BadEvent "bad_event",
    /// The request cannot be understood.
    BadRequest "bad_request",
    /// Nothing is there.
    NotFound "not_found",
    /// Not that method.
    Method "method",
    /// No form of the answer is acceptable.
    NotAcceptable "not_acceptable",
    /// A body of another type.
    ContentType "content_type",
    /// Larger than a limit.
    TooLarge "too_large",
    /// The body came too slowly.
    Timeout "timeout",
    /// The idempotency key was used for something else.
    KeyReused "key_reused",
    /// As many subscribers as there may be.
    Subscribers "subscribers_max",
    /// As many streams as one address may have.
    StreamsAddress "streams_per_address_max",
    /// As many streams as one subject may have.
    StreamsSubject "streams_per_subject_max",
    /// More events a second than one may publish.
    PublishRate "publish_rate_max",
    /// More bytes a second than one may publish.
    PublishBytes "publish_bytes_rate_max",
    /// The log did not answer in time, or the hub is not ready.
    Unavailable "unavailable",
    /// The hub is ending.
    Draining "draining",
    /// More waits to be written to the log than may, or it does not answer in time.
    LogBusy "log_busy",
    /// The log has no room.
    LogFull "log_full",
    /// The log has stopped.
    LogStopped "log_stopped",
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Missing(_) => Self::TokenMissing,
            Refusal::TooLong { .. } => Self::TokenTooLong,
            Refusal::Malformed(_) | Refusal::Duplicate(_) | Refusal::TooDeep(_) => {
                Self::TokenMalformed
            }
            Refusal::QueryModern => Self::TokenInQuery,
            Refusal::DialectOfRequest => Self::TokenDialect,
            Refusal::NoType => Self::TokenType,
            Refusal::Issuer { .. } | Refusal::IssuerRole { .. } => Self::TokenIssuer,
            Refusal::UnknownKey { .. } => Self::TokenKeyUnknown,
            Refusal::Audience { .. } => Self::TokenAudience,
            Refusal::NoExpiry => Self::TokenEndless,
            Refusal::Detail { .. } => Self::TokenDetail,
            Refusal::Revoked => Self::TokenRevoked,
            Refusal::SignedUrl(_) => Self::SignedUrl,
            Refusal::Critical => Self::TokenCritical,
            Refusal::NoKey(_) => Self::TokenNoKey,
            Refusal::Algorithm { .. } => Self::TokenAlgorithm,
            Refusal::Signature => Self::TokenSignature,
            Refusal::Expired { .. } => Self::TokenExpired,
            Refusal::NotYet { .. } => Self::TokenNotYet,
            Refusal::Claim(_) => Self::TokenClaim,
            Refusal::NotGranted(_) => Self::TokenNotGranted,
            Refusal::Unverifiable => Self::TokenUnverifiable,
            // One that is newer than this list says at least that it was the token.
            _ => Self::TokenMalformed,
        }
    }
}

impl From<&AppendError> for Reason {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::KeyReused { .. } => Self::KeyReused,
            AppendError::TooLarge { .. } => Self::TooLarge,
            AppendError::Full(_) => Self::LogFull,
            AppendError::Stopped(_) => Self::LogStopped,
            _ => Self::LogBusy,
        }
    }
}
