//! A member's certificates: made on its machine, signed there by its etcd cluster's authority, and made
//! anew when a third of their life has passed. etcd reads the files for each connection, so nothing has
//! to be started again.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use jiff::Timestamp;

use super::layout::Layout;
use super::machine::{Machine, NodeCloud};
use crate::cloud::{CloudError, Condition, StoreError};
use crate::etcd::names;
use crate::etcd::start::Identity;
use crate::node::host::{HostError, off_thread, read_if_there, write_whole};
use crate::pki::{
    Authority, LeafReport, Member, MemberLeaf, PkiError, PrivateKey, Renewal, Secret, Signer,
    check_public, leaves_key, renewal,
};

/// Who signs for a member, and whose clients it takes.
#[derive(Debug)]
pub struct Authorities {
    /// The authority of the etcd cluster's members.
    pub peers: Signer,
    /// The certificate of the authority of etcd's clients, in PEM.
    pub clients: String,
}

/// Why a member has no certificates.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// They cannot be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// They cannot be kept.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The parameter store failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The state bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An authority is not there.
    #[error("there is no `{0}` in the parameter store; `kprod apply` makes it")]
    NoAuthority(String),
    /// The machine has not the member's address.
    #[error("`{host}` is not this machine: {why}")]
    NotHere {
        /// The member's host.
        host: String,
        /// What is wrong.
        why: String,
    },
}

/// The file in a member's folder that says who signs for members.
pub(super) const PEER_CA: &str = "peer-ca.crt";
/// The file that says who signs for clients: other members, too, look after each other.
pub(super) const CLIENT_CA: &str = "client-ca.crt";

/// Gives a member's machine its certificates, as far as it lacks them, and tells the state bucket of new
/// ones.
///
/// # Errors
/// When the authorities cannot be read, the member's name does not lead here, or the files cannot be
/// written.
pub(super) async fn provide<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
    layout: &Layout,
) -> Result<(), LeafError> {
    let authorities = fetch(machine, identity).await?;
    let address = own_address(identity).await?;
    let now = machine.cloud.now();
    let (folder, owner) = (layout.pki.clone(), identity.clone());
    let made = tokio::task::spawn_blocking(move || {
        let Identity { cluster, etcd, member } = &owner;
        let member = Member { cluster, etcd, name: member, address };
        renew(&folder, &member, &authorities, now)
    });
    // Work that panics has said so itself.
    let renewed =
        made.await.unwrap_or_else(|error| Err(PkiError::Issue(error.to_string()).into()))?;
    for (leaf, why) in &renewed {
        let text = format!("its {} certificate is made: {why}", leaf.as_str());
        machine.tell(identity, &text);
    }
    if renewed.is_empty() { Ok(()) } else { report(machine, identity, layout, address).await }
}

/// Reads who signs, and whose clients are trusted.
async fn fetch<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
) -> Result<Authorities, LeafError> {
    let cluster = &identity.cluster;
    let authority = Authority::EtcdPeers(identity.etcd.clone());
    let name = authority.secret_parameter(cluster);
    let secret = machine.cloud.secret(&name).await?;
    let secret = secret.ok_or(LeafError::NoAuthority(name))?;
    let peers = Signer::parse(&authority, cluster, &secret)?;
    let name = Authority::EtcdClients.public_parameter(cluster);
    let mut public = machine.cloud.public(cluster).await?;
    let clients = public.remove(&name).ok_or(LeafError::NoAuthority(name))?;
    check_public(&Authority::EtcdClients, cluster, &clients)?;
    Ok(Authorities { peers, clients })
}

/// The address that the member's name leads to, which has to be this machine's: certificates hold it,
/// and its peers go by it.
async fn own_address(identity: &Identity) -> Result<IpAddr, LeafError> {
    let Identity { cluster, etcd, member } = identity;
    let host = names::member_host(cluster, etcd, member);
    let not_here = |why: String| LeafError::NotHere { host: host.clone(), why };
    let found = tokio::net::lookup_host((host.as_str(), 0)).await;
    let mut found = found.map_err(|error| not_here(error.to_string()))?;
    let address = found.next().ok_or_else(|| not_here("it has no address".to_owned()))?.ip();
    // Only an address of this machine can be listened on.
    UdpSocket::bind((address, 0)).map_err(|error| not_here(format!("{address}: {error}")))?;
    Ok(address)
}

async fn report<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
    layout: &Layout,
    address: IpAddr,
) -> Result<(), LeafError> {
    let layout = layout.clone();
    let read = off_thread(move || {
        let mut certificates = BTreeMap::new();
        for leaf in MemberLeaf::ALL {
            let bytes = read_if_there(&layout.leaf(leaf.as_str()).0)?.unwrap_or_default();
            certificates.insert(leaf, String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(certificates)
    });
    let report = LeafReport {
        format_version: LeafReport::FORMAT_VERSION,
        member: identity.member.clone(),
        address,
        instance_id: machine.instance_id.clone(),
        certificates: read.await?,
    };
    let key = leaves_key(&identity.cluster, &identity.etcd, &identity.member);
    let body = serde_json::to_vec(&report).unwrap_or_default();
    machine.cloud.put(&key, body, Condition::Any).await?;
    Ok(())
}

/// Brings a member's folder up to what it should hold now; gives what was made anew, and why.
///
/// # Errors
/// When the authority cannot sign, or the folder cannot be written. What was there stays.
pub fn renew(
    folder: &Path,
    member: &Member<'_>,
    authorities: &Authorities,
    now: Timestamp,
) -> Result<Vec<(MemberLeaf, Renewal)>, LeafError> {
    let peers = authorities.peers.to_public();
    let clients = format!("{}\n{peers}", authorities.clients.trim_end());
    for (name, text) in [(PEER_CA, &peers), (CLIENT_CA, &clients)] {
        keep(&folder.join(name), text)?;
    }
    let mut renewed = Vec::new();
    for leaf in MemberLeaf::ALL {
        if let Some(why) = renew_leaf(folder, member, leaf, &authorities.peers, now)? {
            renewed.push((leaf, why));
        }
    }
    Ok(renewed)
}

fn renew_leaf(
    folder: &Path,
    member: &Member<'_>,
    leaf: MemberLeaf,
    signer: &Signer,
    now: Timestamp,
) -> Result<Option<Renewal>, LeafError> {
    let [certificate_file, key_file] =
        ["crt", "key"].map(|end| folder.join(format!("{}.{end}", leaf.as_str())));
    let text = |path: &Path| -> Result<Option<String>, HostError> {
        Ok(read_if_there(path)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    // A key that cannot be read is as good as none.
    let key = text(&key_file)?.and_then(|pem| PrivateKey::parse(&Secret::new(pem)).ok());
    let certificate = text(&certificate_file)?;
    let held = certificate.as_deref().zip(key.as_ref());
    let request = member.leaf(leaf);
    let authority =
        signer.certificate().ok_or_else(|| PkiError::WrongAuthority(request.authority.clone()))?;
    let Some(why) = renewal(&request, authority, held, now)? else { return Ok(None) };
    let made = signer.sign(&request, &PrivateKey::generate()?, now)?;
    // Killed between the two, they do not belong together, and are made anew.
    write_whole(&key_file, made.key.expose().as_bytes(), 0o600)?;
    write_whole(&certificate_file, made.certificate.as_bytes(), 0o644)?;
    Ok(Some(why))
}

/// Writes a file unless it says so already.
fn keep(path: &Path, text: &str) -> Result<(), HostError> {
    match read_if_there(path)? {
        Some(found) if found == text.as_bytes() => Ok(()),
        _ => write_whole(path, text.as_bytes(), 0o644),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;

    use super::*;
    use crate::pki::Authority;

    fn member() -> Member<'static> {
        let address = "10.0.0.4".parse().unwrap();
        Member { cluster: "c.example.com", etcd: "main", name: "a", address }
    }

    fn authorities(now: Timestamp) -> Authorities {
        let make = |authority: Authority| {
            let key = PrivateKey::generate().unwrap();
            Signer::make(&authority, "c.example.com", key, now).unwrap()
        };
        Authorities {
            peers: make(Authority::EtcdPeers("main".to_owned())),
            clients: make(Authority::EtcdClients).to_public(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn leaves_are_made_once_and_again_when_they_are_due_or_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-11-22T00:00:00Z");
        let authorities = authorities(now);
        let renewed = |now| renew(folder.path(), &member(), &authorities, now).unwrap().len();
        assert_eq!(renewed(now), 3);
        assert_eq!(renewed(now), 0);
        assert_eq!(renewed(at("2027-06-01T00:00:00Z")), 3);
        let now = at("2027-06-02T00:00:00Z");
        assert_eq!(renewed(now), 0);
        fs::copy(folder.path().join("peer.key"), folder.path().join("server.key")).unwrap();
        assert_eq!(renewed(now), 1);
        let mode = fs::metadata(folder.path().join("peer.key")).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        let clients = fs::read_to_string(folder.path().join(CLIENT_CA)).unwrap();
        assert_eq!(clients.matches("BEGIN CERTIFICATE").count(), 2);
    }

    #[test]
    fn another_address_or_another_authority_makes_them_anew() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-11-22T00:00:00Z");
        let first = authorities(now);
        renew(folder.path(), &member(), &first, now).unwrap();
        let moved = Member { address: "10.0.0.5".parse().unwrap(), ..member() };
        // The client's certificate holds no address.
        assert_eq!(renew(folder.path(), &moved, &first, now).unwrap().len(), 2);
        let other = authorities(now);
        assert_eq!(renew(folder.path(), &moved, &other, now).unwrap().len(), 3);
    }
}
