//! What an API server shows to etcd, signed by the account's own authority.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use kprod::cloud::Parameters;
use kprod::cloud::sim::SimCloud;
use kprod::node::etcd::client::Credentials;
use kprod::pki::{Authority, PrivateKey, Signer, api_server_client};

/// The files of a client of an etcd cluster, in a folder.
pub(crate) async fn issue_client(
    cloud: &SimCloud,
    cluster: &str,
    etcd: &str,
    into: &Path,
) -> Credentials {
    fs::create_dir_all(into).unwrap();
    let clients = Authority::EtcdClients;
    let secret = cloud.secret(&clients.secret_parameter(cluster)).await.unwrap().unwrap();
    let signer = Signer::parse(&clients, cluster, &secret).unwrap();
    let key = PrivateKey::generate().unwrap();
    let leaf = signer.sign(&api_server_client(), &key, Timestamp::now()).unwrap();
    let peers = Authority::EtcdPeers(etcd.to_owned()).public_parameter(cluster);
    let trusted = cloud.public(cluster).await.unwrap().remove(&peers).unwrap();
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
