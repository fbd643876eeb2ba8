//! Who may import whom: the table of ARCHITECTURE.md as data, and nothing else.
//!
//! A new line here is a decision about the design: it belongs into ARCHITECTURE.md with its reason first.

/// A crate, and which of our crates it may depend on.
pub(super) struct Row {
    pub(super) package: &'static str,
    pub(super) may_import: &'static [&'static str],
}

pub(super) const TABLE: &[Row] = &[
    row("tidewire-codec", &[]),
    row("tidewire-client", &["tidewire-codec"]),
    row("tidewire-core", &[]),
    row("tidewire-auth", &["tidewire-core"]),
    row("tidewire-log", &["tidewire-codec", "tidewire-core"]),
    row("tidewire-log-disk", &["tidewire-core", "tidewire-log"]),
    row("tidewire-log-nats", &["tidewire-core", "tidewire-log"]),
    row("tidewire-log-redis", &["tidewire-core", "tidewire-log"]),
    row(
        "tidewire-log-upstream",
        &["tidewire-core", "tidewire-log", "tidewire-client"],
    ),
    row("tidewire-engine", &["tidewire-core", "tidewire-log"]),
    row(
        "tidewire-http",
        &[
            "tidewire-codec",
            "tidewire-core",
            "tidewire-auth",
            "tidewire-engine",
            "tidewire-log",
        ],
    ),
    row(
        "tidewire-hub",
        &[
            "tidewire-core",
            "tidewire-auth",
            "tidewire-log",
            "tidewire-engine",
            "tidewire-http",
        ],
    ),
    row("tidewire", EVERYTHING_BUT_THE_ENDS),
    row("tidewire-sim", EVERYTHING_BUT_THE_ENDS),
    row("axum-app", &["tidewire-hub", "tidewire-log-disk"]),
    row("codec-only", &["tidewire-codec"]),
    row("xtask", &[]),
    row("bench-floor", &[]),
    row("bench-axum-sse", &[]),
];

/// The binary and the simulation import whatever there is, but not each other and not xtask.
const EVERYTHING_BUT_THE_ENDS: &[&str] = &[
    "tidewire-codec",
    "tidewire-client",
    "tidewire-core",
    "tidewire-auth",
    "tidewire-log",
    "tidewire-log-disk",
    "tidewire-log-nats",
    "tidewire-log-redis",
    "tidewire-log-upstream",
    "tidewire-engine",
    "tidewire-http",
    "tidewire-hub",
];

/// An edge that only tests have, and why it does not bend the design.
pub(super) struct DevEdge {
    pub(super) package: &'static str,
    pub(super) imports: &'static str,
}

/// Besides these, a dev-dependency follows the same table.
pub(super) const DEV_EXEMPT: &[DevEdge] = &[
    // The engine's tests read what sinks got, as a client would.
    DevEdge {
        package: "tidewire-engine",
        imports: "tidewire-codec",
    },
];

/// Crates that take time, seed and keys as arguments, and the features that would end that.
pub(super) struct Pure {
    pub(super) package: &'static str,
    /// Off in the pure build; what they gate may touch the world.
    pub(super) features_off: &'static [&'static str],
}

pub(super) const PURE: &[Pure] = &[
    pure("tidewire-codec", &[]),
    pure("tidewire-core", &[]),
    pure("tidewire-auth", &["verify"]),
    pure("tidewire-log", &["conformance"]),
    pure("tidewire-engine", &["driver"]),
    pure("tidewire-client", &["tokio"]),
];

const fn row(package: &'static str, may_import: &'static [&'static str]) -> Row {
    Row {
        package,
        may_import,
    }
}

const fn pure(package: &'static str, features_off: &'static [&'static str]) -> Pure {
    Pure {
        package,
        features_off,
    }
}
