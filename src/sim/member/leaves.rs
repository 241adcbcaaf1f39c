//! The certificates that members show, as the machine of each would report them: signed when the member
//! started, and again whenever a third of their life had passed.
//!
//! They follow from the authority and from the machine's life, like all that is told of a member. A look
//! signs them anew; what they say is the same each time, but for key and number.

use std::net::IpAddr;

use super::{Host, Run};
use crate::cloud::Entry;
use crate::pki::{
    Authority, LEAF_DAYS, LeafReport, Member, MemberLeaf, PrivateKey, Signer, TOLERANCE_SECS,
    leaves_key,
};
use crate::sim::World;
use crate::sim::clock::Time;

/// From one signature to the next: what is left of a third of a leaf's life, which begins a little
/// before it is signed.
const RENEWAL_MS: i64 = ((LEAF_DAYS * 86_400 + TOLERANCE_SECS) / 3 - TOLERANCE_SECS) * 1000;

impl World {
    /// The content of a key of leaves; none while no machine has told.
    pub(in crate::sim) fn member_leaves(&mut self, key: &str) -> Option<Entry> {
        let mut parts = key.strip_prefix("etcd/")?.split('/');
        let (cluster, etcd) = (parts.next()?, parts.next()?);
        let member = (parts.next()? == "leaves").then(|| parts.next())??;
        (key == leaves_key(cluster, etcd, member)).then_some(())?;
        self.find_members(cluster);
        self.tend_members();
        self.newest_report(cluster, etcd, member)?;
        let stored = self.etcds.get(cluster)?.get(etcd)?.members.get(member)?;
        let (run, address) = (stored.run.clone()?, self.address_of(&stored.host)?);
        let signed_at = self.signed_at(&run);
        let report = self.sign_leaves(cluster, etcd, member, address, &run, signed_at)?;
        let body = serde_json::to_vec(&report).ok()?;
        let (etag, written_at) = (format!("{:016x}", signed_at.0), signed_at.timestamp());
        Some(Entry { body, etag, written_at })
    }

    fn address_of(&self, host: &Host) -> Option<IpAddr> {
        let Host::Interface(id) = host else { return None };
        self.interfaces.get(id)?.private_ip_address.parse().ok()
    }

    /// When the member's machine signed last.
    fn signed_at(&self, run: &Run) -> Time {
        let times = (self.now.0 - run.since.0) / RENEWAL_MS;
        Time(run.since.0 + times * RENEWAL_MS)
    }

    fn sign_leaves(
        &self,
        cluster: &str,
        etcd: &str,
        name: &str,
        address: IpAddr,
        run: &Run,
        at: Time,
    ) -> Option<LeafReport> {
        let authority = Authority::EtcdPeers(etcd.to_owned());
        let stored = self.parameter(&authority.secret_parameter(cluster))?;
        let signer = Signer::parse(&authority, cluster, stored).ok()?;
        let member = Member { cluster, etcd, name, address };
        let sign = |leaf: MemberLeaf| {
            let key = PrivateKey::generate().ok()?;
            let signed = signer.sign(&member.leaf(leaf), &key, at.timestamp()).ok()?;
            Some((leaf, signed.certificate))
        };
        Some(LeafReport {
            format_version: LeafReport::FORMAT_VERSION,
            member: name.to_owned(),
            address,
            instance_id: run.instance_id.clone(),
            certificates: MemberLeaf::ALL.into_iter().map(sign).collect::<Option<_>>()?,
        })
    }
}
