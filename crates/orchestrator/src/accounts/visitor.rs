//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, header},
};

use super::browser::Browser;

/// Address, transport and browser of a request's sender; in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    /// It came encrypted, as far as a trusted proxy tells.
    pub(crate) https: bool,
    pub(crate) browser: Browser,
}

impl Visitor {
    /// A proxy's word counts only where `trust_proxy` says so: anybody can send these headers.
    /// Of several addresses the last is the one that the proxy itself saw.
    pub(super) fn of(extensions: &Extensions, headers: &HeaderMap, trust_proxy: bool) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip());
        let browser = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let browser = browser.map_or(Browser::default(), Browser::read);
        let told = |name| headers.get_all(name).iter().next_back()?.to_str().ok();
        if !trust_proxy {
            return Self { address: peer.to_canonical(), https: false, browser };
        }
        let last = |text: &str| text.rsplit(',').next().map(str::trim).map(str::to_owned);
        let address = told("x-forwarded-for").and_then(last).and_then(|text| text.parse().ok());
        let https = told("x-forwarded-proto").and_then(last).is_some_and(|text| text == "https");
        Self { address: address.unwrap_or(peer).to_canonical(), https, browser }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_believed_only_where_it_is_trusted() {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 1))));
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        headers.insert("x-forwarded-for", "6.6.6.6, 192.0.2.7".parse().unwrap());
        let trusting = Visitor::of(&extensions, &headers, true);
        assert_eq!(trusting.address, IpAddr::from([192, 0, 2, 7]));
        assert!(trusting.https);
        let wary = Visitor::of(&extensions, &headers, false);
        assert_eq!(wary.address, IpAddr::from([10, 0, 0, 1]));
        assert!(!wary.https);
    }
}
