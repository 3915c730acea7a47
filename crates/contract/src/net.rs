//! Which addresses may be connected to. Judged on the connected address, so that no spelling of
//! a host and no answer of a name server gets around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::Url;

/// Which addresses an app may have.
#[derive(Debug, Clone, Default)]
pub struct NetPolicy {
    /// This machine itself may be connected to.
    pub allow_loopback: bool,
    /// Where not empty, only these networks.
    pub allowed: Vec<IpNet>,
}

/// An address or URL that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    /// This machine.
    #[error(
        "the address {0} is this machine itself: set BACKUP_ALLOW_LOOPBACK=true if that is meant"
    )]
    Here(IpAddr),
    /// Nothing that an app could have.
    #[error(
        "the address {0} is a link-local, metadata, multicast or unspecified one: never an app"
    )]
    Special(IpAddr),
    /// Not in the networks that were listed.
    #[error("the address {0} is outside the allowed networks (BACKUP_ALLOWED_NETWORKS)")]
    Outside(IpAddr),
    /// The URL is no base address.
    #[error(transparent)]
    Form(#[from] UrlForm),
}

/// Why a URL is no base address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlForm {
    /// Not HTTP.
    #[error("begin it with http:// or https://")]
    Scheme,
    /// A user or a password is in it.
    #[error("leave user and password out: the token is a field of its own")]
    Login,
    /// Something follows its path.
    #[error("leave `?` and `#` out: this is the base address")]
    Query,
    /// No host.
    #[error("it names no host")]
    Host,
}

impl NetPolicy {
    /// Judges an address before it is connected to.
    pub fn check_address(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let address = plain(address);
        if address.is_loopback() {
            if !self.allow_loopback {
                return Err(AddressRefused::Here(address));
            }
        } else if is_special(address) {
            return Err(AddressRefused::Special(address));
        }
        let listed = self.allowed.is_empty()
            || self.allowed.iter().any(|network| network.contains(&address))
            || (address.is_loopback() && self.allow_loopback);
        if listed { Ok(()) } else { Err(AddressRefused::Outside(address)) }
    }

    /// Judges the form of a base URL, and its host where that is an address.
    pub fn check_url(&self, url: &Url) -> Result<(), AddressRefused> {
        let refuse = |why: UrlForm| Err(why.into());
        if !matches!(url.scheme(), "http" | "https") {
            return refuse(UrlForm::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(UrlForm::Login);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse(UrlForm::Query);
        }
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.check_address(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => self.check_address(IpAddr::V6(address)),
            Some(url::Host::Domain(_)) => Ok(()),
            None => refuse(UrlForm::Host),
        }
    }
}

/// The IPv4 address inside an IPv6 one (mapped, translated, compatible, NAT64, 6to4), or the address itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let segments = v6.segments();
    let embedded = |at: usize| {
        let [w, x] = segments[at].to_be_bytes();
        let [y, z] = segments[at + 1].to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(w, x, y, z))
    };
    let middle_is_zero = segments[2..6].iter().all(|segment| *segment == 0);
    match (segments[0], segments[1]) {
        (0x64, 0xff9b) if middle_is_zero => embedded(6),
        (0x2002, _) => embedded(1),
        (0, 0) if segments[2..6] == [0, 0, 0xffff, 0] => embedded(6),
        (0, 0) if middle_is_zero && v6 != Ipv6Addr::LOCALHOST && segments[6] != 0 => embedded(6),
        _ => address,
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
                || v4.octets()[0] >= 240
                // Metadata services of clouds that are not link-local.
                || matches!(v4.octets(), [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192])
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_multicast()
                || (v6.segments()[0] & 0xffc0) == 0xfe80
                // A network's own NAT64: which IPv4 address is inside depends on the network.
                || v6.segments()[..3] == [0x64, 0xff9b, 1]
                // Metadata services of clouds.
                || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
                || v6.segments() == [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
                || v6.segments() == [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_loopback_are_refused_in_every_spelling() {
        let policy = NetPolicy::default();
        for spelling in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://0/",
            "http://0.0.0.0/",
            "http://169.254.169.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:7f00:1::]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://user@app/",
            "http://app/?x",
            "http://app/#x",
            "ftp://app/",
            "file:///etc/passwd",
            "http://[fd00:ec2::254]/",
            "http://[fd20:ce::254]/",
            "http://[64:ff9b:1::7f00:1]/",
            "http://[::ffff:0:127.0.0.1]/",
            "http://[::127.0.0.1]/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.0.0.1/",
            "http://192.0.0.192/",
            "http://100.100.100.200/",
        ] {
            let url = Url::parse(spelling).unwrap();
            assert!(policy.check_url(&url).is_err(), "{spelling} was accepted");
        }
    }

    #[test]
    fn private_networks_are_where_apps_live() {
        let policy = NetPolicy::default();
        for good in
            ["http://172.18.0.5:8080", "http://10.1.2.3", "http://shop:8080", "https://[fd12::1]"]
        {
            policy.check_url(&Url::parse(good).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_list_narrows_and_loopback_is_a_switch() {
        let policy =
            NetPolicy { allow_loopback: true, allowed: vec!["172.18.0.0/16".parse().unwrap()] };
        assert!(policy.check_address("172.18.0.5".parse().unwrap()).is_ok());
        assert!(policy.check_address("::ffff:172.18.0.5".parse().unwrap()).is_ok());
        assert!(policy.check_address("10.0.0.1".parse().unwrap()).is_err());
        assert!(policy.check_address("127.0.0.1".parse().unwrap()).is_ok());
    }
}
