use notify::{Kind, Level};

use crate::{message, open};

#[test]
fn metadata_is_refused_before_anything_is_sent() {
    for url in [
        "http://169.254.169.254/latest/",
        "http://0xa9fea9fe/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0/",
    ] {
        let error = open(Kind::Webhook, &[("url", url)], &[]).unwrap_err();
        assert!(error.to_string().contains("is refused"), "{url}: {error}");
    }
    let mail = [("host", "169.254.169.254"), ("from", "a@b.example"), ("to", "c@d.example")];
    assert!(open(Kind::Email, &mail, &[]).unwrap_err().to_string().contains("is refused"));
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_tried_again() {
    let nowhere = [("url", "http://no-such-host.invalid/")];
    let channel = open(Kind::Webhook, &nowhere, &[]).unwrap();
    let error = channel.send(&message(Level::Error)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("no-such-host"), "{error}");
}
