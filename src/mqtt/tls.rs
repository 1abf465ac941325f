//! TLS to the broker, with a rustls configuration of our own: the one that rumqttc would build panics on a system
//! certificate that it cannot read (its issue #992).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

/// How to know the broker and how to be known by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM. If given, only these authorities are trusted, else those of the machine.
    pub ca_file: Option<PathBuf>,
    /// PEM, the client certificate first and those that lead to the authority after it.
    pub client_cert_file: Option<PathBuf>,
    /// PEM, PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub client_key_file: Option<PathBuf>,
}

/// Why there can be no TLS with these settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}; check the path and that Latchkey's user may read it", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} holds no {wanted} in PEM form; it should begin with a line -----BEGIN ...-----", path.display())]
    NotPem { path: PathBuf, wanted: &'static str },
    #[error("{} holds a certificate that is none ({reason}); export it again from where it was made", path.display())]
    BadAuthority { path: PathBuf, reason: rustls::Error },
    #[error("the client certificate {} and its key do not work ({reason}); check that they belong together", path.display())]
    BadClientCertificate { path: PathBuf, reason: rustls::Error },
    #[error("a client certificate needs both its file and its key file; give both or neither")]
    HalfClientCertificate,
    #[error("the certificates of this machine cannot be used ({0}); install ca-certificates, or give a CA file")]
    Platform(rustls::Error),
}

impl TlsSettings {
    /// Reads the files and builds the configuration, so that a mistake shows at start and not at the first connection.
    pub fn to_client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Platform)?;
        let builder = match &self.ca_file {
            Some(path) => builder.with_root_certificates(read_authorities(path)?),
            None => builder.with_platform_verifier().map_err(TlsError::Platform)?,
        };
        let config = match (&self.client_cert_file, &self.client_key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert_file), Some(key_file)) => builder
                .with_client_auth_cert(read_certificates(cert_file)?, read_key(key_file)?)
                .map_err(|reason| TlsError::BadClientCertificate { path: cert_file.clone(), reason })?,
            (Some(_), None) | (None, Some(_)) => return Err(TlsError::HalfClientCertificate),
        };
        Ok(Arc::new(config))
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        store.add(certificate).map_err(|reason| TlsError::BadAuthority { path: path.to_owned(), reason })?;
    }
    Ok(store)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(TlsError::NotPem { path: path.to_owned(), wanted: "certificate" }),
    }
}

/// The parser's own words are not passed on: they quote the file, and this one is secret.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = zeroize::Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| TlsError::NotPem { path: path.to_owned(), wanted: "private key without a passphrase" })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(settings: TlsSettings) -> String {
        settings.to_client_config().unwrap_err().to_string()
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        let text = refusal(TlsSettings { ca_file: Some(missing), ..TlsSettings::default() });
        assert!(text.contains("missing.pem") && text.contains("may read it"), "{text}");

        let no_pem = folder.path().join("no.pem");
        fs::write(&no_pem, "hello").unwrap();
        let text = refusal(TlsSettings { ca_file: Some(no_pem), ..TlsSettings::default() });
        assert!(text.contains("no.pem") && text.contains("no certificate in PEM form"), "{text}");

        let no_certificate = folder.path().join("odd.pem");
        fs::write(&no_certificate, "-----BEGIN CERTIFICATE-----\nMDA=\n-----END CERTIFICATE-----\n").unwrap();
        let text = refusal(TlsSettings { ca_file: Some(no_certificate), ..TlsSettings::default() });
        assert!(text.contains("odd.pem") && text.contains("export it again"), "{text}");
    }

    #[test]
    fn a_client_certificate_needs_its_key() {
        let half = TlsSettings { client_cert_file: Some("client.pem".into()), ..TlsSettings::default() };
        assert!(refusal(half).contains("both"));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("client.pem"), folder.path().join("client.key"));
        fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nMDA=\n-----END CERTIFICATE-----\n").unwrap();
        fs::write(&key, "-----BEGIN PRIVATE KEY-----\ncanary!!\n-----END PRIVATE KEY-----\n").unwrap();
        let settings = TlsSettings { ca_file: None, client_cert_file: Some(certificate), client_key_file: Some(key) };
        let text = refusal(settings);
        assert!(text.contains("client.key") && !text.contains("canary"), "{text}");
    }
}
