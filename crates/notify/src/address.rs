//! Which addresses may be connected to. People run such services in their own networks and on
//! the same machine; what is refused is what never is one: metadata of clouds, link-local,
//! multicast. Judged on the address that is connected to, whatever a name server says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::Wrong;

/// Why nothing is sent to an address.
#[derive(Debug, thiserror::Error)]
#[error("the address {0} is a link-local, metadata, multicast or unspecified one")]
pub(crate) struct AddressRefused(IpAddr);

impl From<AddressRefused> for Wrong {
    fn from(refused: AddressRefused) -> Self {
        Self::Never(refused.0.to_string())
    }
}

/// Judges an address before it is connected to.
pub(crate) fn judge(address: IpAddr) -> Result<(), AddressRefused> {
    let plain = plain(address);
    if is_special(plain) { Err(AddressRefused(plain)) } else { Ok(()) }
}

/// The IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4), or the address itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let embedded = |at: usize| {
        let [a, b] = segments[at].to_be_bytes();
        let [c, d] = segments[at + 1].to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(6),
        // Not the unspecified address, nor loopback.
        [0, 0, 0, 0, 0, 0, high, _] if high > 0 => embedded(6),
        [0x2002, ..] => embedded(1),
        _ => address,
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.octets()[0] == 0
                || v4.is_link_local()
                || v4.octets()[0] >= 224
                // Metadata services of clouds that are not link-local.
                || matches!(v4.octets(), [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192])
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_multicast()
                || (v6.segments()[0] & 0xffc0) == 0xfe80
                || v6.segments()[..3] == [0x64, 0xff9b, 1]
                || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
                || v6.segments() == [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
                || v6.segments() == [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
        }
    }
}

/// The addresses of a name that may be connected to; why not, where there are only others.
pub(crate) async fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let mut refused = None;
    let mut good = Vec::new();
    for address in tokio::net::lookup_host((host, port)).await? {
        match judge(address.ip()) {
            Ok(()) => good.push(address),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if good.is_empty() => {
            Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, error))
        }
        _ => Ok(good),
    }
}

/// Gives an HTTP client only addresses that may be connected to.
pub(crate) struct Judged;

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address was refused somewhere below an error.
pub(crate) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
            return Some(refused.to_string());
        }
        // An I/O error hides what it was made of from `source`.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refused) = inner.and_then(|inner| inner.downcast_ref::<AddressRefused>()) {
            return Some(refused.to_string());
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_refused_in_every_spelling() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "100.100.100.200",
        ] {
            assert!(judge(address.parse().unwrap()).is_err(), "{address} was accepted");
        }
    }

    #[test]
    fn servers_of_ones_own_are_where_people_run_them() {
        for address in
            ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.4", "172.18.0.2", "fd12::1", "1.1.1.1"]
        {
            judge(address.parse().unwrap()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_refusal_is_found_below_other_errors() {
        let error = resolve("169.254.169.254", 80).await.unwrap_err();
        assert!(refusal(&error).unwrap().contains("169.254.169.254"));
        assert!(refusal(&std::io::Error::other("no")).is_none());
    }
}
