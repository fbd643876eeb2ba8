//! The options of [`Transport`](crate::transport::Transport), one call each.

use super::Builder;
use crate::transport::{ClientCertificate, Http, Proxy, Transport};

impl Builder {
    fn with_transport(self, set: impl FnOnce(&mut Transport)) -> Self {
        self.with(|options| set(&mut options.transport))
    }

    /// All of them at once.
    pub fn transport(self, transport: Transport) -> Self {
        self.with(|options| options.transport = transport)
    }

    /// Trusts these authorities too: certificates as PEM, a self-signed server's own among them.
    pub fn trust(self, pem: impl AsRef<[u8]>) -> Self {
        self.with_transport(|transport| {
            let authorities = &mut transport.tls.authorities;
            authorities.extend_from_slice(pem.as_ref());
            authorities.push(b'\n');
        })
    }

    /// Trusts these authorities and nobody else.
    pub fn trust_only(self, pem: impl AsRef<[u8]>) -> Self {
        let nobody_else = self.with_transport(|transport| {
            transport.tls.mozilla_roots = false;
            transport.tls.system_roots = false;
            transport.tls.authorities.clear();
        });
        nobody_else.trust(pem)
    }

    /// Trusts the authorities of the system's store, besides Mozilla's.
    pub fn trust_system(self) -> Self {
        self.with_transport(|transport| transport.tls.system_roots = true)
    }

    /// Says who this client is: a certificate with those that vouch for it, and its key, both PEM.
    pub fn client_certificate(self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let own = ClientCertificate {
            chain: chain.into(),
            key: key.into(),
        };
        self.with_transport(|transport| transport.tls.client_certificate = Some(own))
    }

    /// **Dangerous.** Takes any certificate of anybody: whoever is on the way can read and change everything. For tests.
    pub fn danger_accept_any_certificate(self) -> Self {
        self.with_transport(|transport| transport.tls.danger_accept_any_certificate = true)
    }

    /// Which version of HTTP is spoken.
    pub fn http(self, http: Http) -> Self {
        self.with_transport(|transport| transport.http = http)
    }

    /// Through which proxies connections go.
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.with_transport(|transport| transport.proxy = proxy)
    }
}
