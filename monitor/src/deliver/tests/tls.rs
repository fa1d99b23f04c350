//! https: a certificate that nobody vouches for is refused, one of a configured authority is taken.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use super::*;

/// A receiver with a certificate of its own making for `host`, and that certificate.
fn receiver(host: &str) -> (SocketAddr, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2_048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", host).unwrap();
    let name = name.build();
    let mut made = X509::builder().unwrap();
    made.set_version(2).unwrap();
    made.set_subject_name(&name).unwrap();
    made.set_issuer_name(&name).unwrap();
    made.set_pubkey(&key).unwrap();
    made.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    made.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    made.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().dns(host).build(&made.x509v3_context(None, None));
    made.append_extension(names.unwrap()).unwrap();
    made.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = made.build();

    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who does not trust us ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream) else { continue };
            let mut request = vec![0; 65_536];
            let read = stream.read(&mut request).unwrap_or(0);
            if read > 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    (address, certificate.to_pem().unwrap())
}

fn post(settings: HttpSettings, url: String) -> Outcome {
    let local = |_: &str| Ok(vec!["127.0.0.1".parse().unwrap()]);
    let http = Http::with_lookup(settings, std::sync::Arc::new(local)).unwrap();
    let target = Target::Slack { url: Secret::new(url) };
    http.post(&render(&target, &message(Kind::Fired), &rendering(), 0).unwrap(), 0)
}

#[test]
fn a_certificate_must_be_vouched_for_and_be_the_hosts() {
    let (address, pem) = receiver("hooks.example.org");
    let url = |host: &str| format!("https://{host}:{}/services/x", address.port());
    let with = |authorities_pem: &[u8]| HttpSettings {
        authorities_pem: authorities_pem.to_vec(),
        timeout: std::time::Duration::from_secs(5),
        ..http_settings()
    };
    assert_eq!(post(with(&pem), url("hooks.example.org")), Outcome::Delivered);
    for (settings, host) in [(with(b""), "hooks.example.org"), (with(&pem), "other.example.org")] {
        let outcome = post(settings, url(host));
        let Outcome::Failed { error, .. } = &outcome else { panic!("{host}: {outcome:?}") };
        assert!(error.contains("certificate verify failed"), "{error}");
    }
    let broken = Http::new(with(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    assert!(matches!(broken, Err(HttpError::Authorities(_) | HttpError::Client(_))));
}
