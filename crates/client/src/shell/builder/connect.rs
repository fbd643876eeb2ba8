//! The options of [`ConnectOptions`](crate::connect::ConnectOptions), one call each.

use super::Builder;
use crate::connect::{ClientCertificate, ConnectOptions, Http, Proxy};

impl Builder {
    fn with_connect(self, set: impl FnOnce(&mut ConnectOptions)) -> Self {
        self.with(|options| set(&mut options.connect))
    }

    /// All of them at once.
    pub fn connect_options(self, connect: ConnectOptions) -> Self {
        self.with(|options| options.connect = connect)
    }

    /// Trusts these authorities too: certificates as PEM, a self-signed server's own among them.
    pub fn trust(self, pem: impl AsRef<[u8]>) -> Self {
        self.with_connect(|connect| {
            let authorities = &mut connect.tls.authorities;
            authorities.extend_from_slice(pem.as_ref());
            authorities.push(b'\n');
        })
    }

    /// Trusts these authorities and nobody else.
    pub fn trust_only(self, pem: impl AsRef<[u8]>) -> Self {
        let nobody_else = self.with_connect(|connect| {
            connect.tls.mozilla_roots = false;
            connect.tls.system_roots = false;
            connect.tls.authorities.clear();
        });
        nobody_else.trust(pem)
    }

    /// Trusts the authorities of the system's store, besides Mozilla's.
    pub fn trust_system(self) -> Self {
        self.with_connect(|connect| connect.tls.system_roots = true)
    }

    /// Says who this client is: a certificate with those that vouch for it, and its key, both PEM.
    pub fn client_certificate(self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let own = ClientCertificate {
            chain: chain.into(),
            key: key.into(),
        };
        self.with_connect(|connect| connect.tls.client_certificate = Some(own))
    }

    /// **Dangerous.** Takes any certificate of anybody: whoever is on the way can read and change everything. For tests.
    pub fn danger_accept_any_certificate(self) -> Self {
        self.with_connect(|connect| connect.tls.danger_accept_any_certificate = true)
    }

    /// Which version of HTTP is spoken.
    pub fn http(self, http: Http) -> Self {
        self.with_connect(|connect| connect.http = http)
    }

    /// Through which proxies connections go.
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.with_connect(|connect| connect.proxy = proxy)
    }
}
