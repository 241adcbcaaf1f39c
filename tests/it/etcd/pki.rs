//! What an API server shows to etcd, signed by the account's own authority.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use kprod::node::etcd::client::Credentials;
use kprod::pki::{Authority, PrivateKey, Secret, Signer, api_server_client};

/// The parameters that a client of an etcd cluster is made of: the key that signs it, and who signs the
/// members that it trusts.
pub(crate) fn client_parameters(cluster: &str, etcd: &str) -> [String; 2] {
    let members = Authority::EtcdPeers(etcd.to_owned());
    [Authority::EtcdClients.secret_parameter(cluster), members.public_parameter(cluster)]
}

/// The files of a client, in a folder, made of what those parameters hold.
pub(crate) fn issue_client(
    cluster: &str,
    secret: &Secret,
    trusted: &str,
    into: &Path,
) -> Credentials {
    fs::create_dir_all(into).unwrap();
    let signer = Signer::parse(&Authority::EtcdClients, cluster, secret).unwrap();
    let key = PrivateKey::generate().unwrap();
    let leaf = signer.sign(&api_server_client(), &key, Timestamp::now()).unwrap();
    let credentials = Credentials {
        trusted: into.join("ca.crt"),
        certificate: into.join("client.crt"),
        key: into.join("client.key"),
    };
    fs::write(&credentials.trusted, trusted).unwrap();
    fs::write(&credentials.certificate, leaf.certificate).unwrap();
    fs::write(&credentials.key, leaf.key.expose()).unwrap();
    credentials
}
