//! Hosts of direct sources, resolved and judged before anybody connects: what is connected to is the
//! address that was judged, as with apps.

use std::net::IpAddr;

use model::{Fact, Failure, FailureCode, Told};

use crate::{EngineConfig, doctor::said, run::failure};

/// The addresses of `host` that may be connected to, in the order in which to try them.
pub(crate) async fn allowed(config: &EngineConfig, host: &str) -> Result<Vec<IpAddr>, Failure> {
    let unknown = |why: Fact| {
        let fact = Fact::HostUnknown { host: host.to_owned(), why: why.into() };
        Failure::new(FailureCode::SourceUnreachable, fact)
    };
    let looking_up = tokio::net::lookup_host((host, 0));
    let found = match tokio::time::timeout(config.connect_timeout, looking_up).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(unknown(said(error))),
        Err(_) => return Err(unknown(Fact::NoAnswerInTime {})),
    };
    let (mut allowed, mut refusal) = (Vec::new(), None);
    for address in found.map(|found| found.ip()) {
        match config.net_policy.check_address(address) {
            Ok(()) if !allowed.contains(&address) => allowed.push(address),
            Ok(()) => {}
            Err(refused) => _ = refusal.get_or_insert(refused),
        }
    }
    match refusal {
        Some(refused) if allowed.is_empty() => {
            let why = Told::from(failure::of_address(&refused));
            let fact = Fact::IsRefused { what: format!("`{host}`"), why };
            Err(Failure::new(FailureCode::AddressRefused, fact))
        }
        _ if allowed.is_empty() => Err(unknown(Fact::NoAddress {})),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_spelling_of_what_is_refused_is_refused() {
        let mut config = EngineConfig::new("one");
        for host in
            ["localhost", "127.0.0.1", "127.1", "2130706433", "::1", "169.254.169.254", "0.0.0.0"]
        {
            let refused = allowed(&config, host).await.unwrap_err();
            assert_eq!(refused.code, FailureCode::AddressRefused, "{host}: {refused:?}");
            assert!(refused.message.contains(host), "{refused:?}");
        }
        config.net_policy.allow_loopback = true;
        assert!(allowed(&config, "localhost").await.unwrap().iter().all(IpAddr::is_loopback));
        assert!(allowed(&config, "169.254.169.254").await.is_err());
        config.net_policy.allowed = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(allowed(&config, "10.1.2.3").await.is_ok());
        assert!(allowed(&config, "192.168.1.1").await.is_err());
        let unknown = allowed(&config, "a name").await.unwrap_err();
        assert_eq!(unknown.code, FailureCode::SourceUnreachable);
    }
}
