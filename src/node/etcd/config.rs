//! What etcd is told: its configuration file, and the service that runs it.
//!
//! The file takes the place of flags, whose names it shares, and JSON is YAML. Everything in it means
//! the same to etcd 3.4, 3.5 and 3.6. Source: etcd `etcd.conf.yml.sample`, `server/embed/config.go`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::layout::Layout;
use crate::boot::settings::Hosted;
use crate::etcd::epoch::{Epoch, Place};
use crate::etcd::names;
use crate::etcd::start::{Identity, View};

/// Which members etcd starts with; it looks at this only on an empty data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peers {
    /// Those that the epoch's members find by the SRV record of their domain.
    Discovered {
        /// The domain.
        domain: String,
        /// What is appended to the service's name; nothing for `main`.
        service: Option<String>,
    },
    /// Those that are in the cluster: addresses by name.
    Listed(BTreeMap<String, String>),
}

impl Peers {
    /// Of a cluster that is to be formed.
    pub(super) fn to_form(identity: &Identity) -> Self {
        Peers::Discovered {
            domain: names::private_zone(&identity.cluster),
            service: (identity.etcd != "main").then(|| identity.etcd.clone()),
        }
    }

    /// Of a cluster that is there. etcd compares addresses; names only have to differ.
    pub(super) fn to_join(identity: &Identity, me: &Place, view: &View) -> Self {
        let mut listed = BTreeMap::from([(identity.member.clone(), me.peer_url.clone())]);
        for member in &view.members {
            for url in member.peer_urls.iter().filter(|url| **url != me.peer_url) {
                let is_taken = member.name.is_empty() || listed.contains_key(&member.name);
                let name = if is_taken { member.id.to_string() } else { member.name.clone() };
                listed.insert(name, url.clone());
            }
        }
        Peers::Listed(listed)
    }

    /// Of a member with data: nobody looks at it.
    pub(super) fn of_existing(epoch: &Epoch) -> Self {
        let urls = epoch.members.iter().map(|(name, place)| (name.clone(), place.peer_url.clone()));
        Peers::Listed(urls.collect())
    }
}

/// The content of etcd's configuration file.
pub(super) fn config(
    hosted: &Hosted,
    layout: &Layout,
    epoch: &Epoch,
    me: &Place,
    peers: &Peers,
) -> Value {
    let mut config = json!({
        "name": hosted.member,
        "data-dir": layout.data(),
        "listen-peer-urls": everywhere(&me.peer_url),
        "listen-client-urls": everywhere(&me.client_url),
        "initial-advertise-peer-urls": me.peer_url,
        "advertise-client-urls": me.client_url,
        "initial-cluster-token": epoch.token,
        "initial-cluster-state": match peers {
            Peers::Discovered { .. } => "new",
            Peers::Listed(_) => "existing",
        },
        "client-transport-security": transport(layout, "server", &layout.client_ca()),
        "peer-transport-security": transport(layout, "peer", &layout.peer_ca()),
        // A member that comes back asks first whether an election would be won: 3.4 does not by
        // itself, and would disturb a leader that is well.
        "pre-vote": true,
        "strict-reconfig-check": true,
        // On by default as a flag, and off in 3.4 when there is a file: kprod's own client needs it.
        "enable-grpc-gateway": true,
        // The only one of 3.5 and later; 3.4 has an older one by default.
        "logger": "zap",
        "log-outputs": ["stderr"],
    });
    if let Some(bytes) = hosted.quota_backend_bytes {
        config["quota-backend-bytes"] = bytes.into();
    }
    match peers {
        Peers::Discovered { domain, service } => {
            config["discovery-srv"] = domain.as_str().into();
            if let Some(service) = service {
                config["discovery-srv-name"] = service.as_str().into();
            }
        }
        Peers::Listed(listed) => {
            let pairs: Vec<String> =
                listed.iter().map(|(name, url)| format!("{name}={url}")).collect();
            config["initial-cluster"] = pairs.join(",").into();
        }
    }
    config
}

fn transport(layout: &Layout, leaf: &str, trusted: &Path) -> Value {
    let (certificate, key) = layout.leaf(leaf);
    json!({
        "cert-file": certificate,
        "key-file": key,
        "client-cert-auth": true,
        "trusted-ca-file": trusted,
    })
}

/// etcd listens on addresses, not on names; the security groups say who gets there.
fn everywhere(url: &str) -> String {
    let port = url.rsplit_once(':').map_or("", |(_, port)| port);
    format!("https://0.0.0.0:{port}")
}

/// The service that runs etcd. It lies where a reboot forgets it, and nothing enables it: only a
/// decision of this boot starts it. Once started, systemd keeps it up by itself.
pub(super) fn unit(identity: &Identity, layout: &Layout, program: &Path) -> String {
    let Identity { cluster, etcd, member } = identity;
    let (program, config) = (program.display(), layout.config.display());
    let (volume, folder) = (layout.volume.display(), layout.volume.display());
    format!(
        "\
[Unit]
Description=etcd {etcd}, member {member} of {cluster}
RequiresMountsFor={folder}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={program} --config-file {config}
Restart=on-failure
RestartSec=2
TimeoutStopSec=60
LimitNOFILE=65536
OOMScoreAdjust=-999
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ReadWritePaths={volume}
"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeSet;

    use super::*;
    use crate::etcd::epoch::ClusterId;
    use crate::etcd::start::{Listed, MemberId};

    fn identity(etcd: &str) -> Identity {
        let [cluster, etcd, member] = ["c.example.com", etcd, "a"].map(str::to_owned);
        Identity { cluster, etcd, member }
    }

    fn place(name: &str) -> Place {
        Place {
            peer_url: format!("https://etcd-{name}.internal.c.example.com:2380"),
            client_url: format!("https://etcd-{name}.internal.c.example.com:4001"),
        }
    }

    fn epoch() -> Epoch {
        let members = ["a", "b", "c"].map(|name| (name.to_owned(), place(name)));
        Epoch::first("c.example.com", "main", members.into(), 1)
    }

    fn made(etcd: &str, peers: &Peers) -> Value {
        let identity = identity(etcd);
        let (etcd, member) = (identity.etcd.clone(), identity.member.clone());
        let hosted = Hosted { etcd, member, quota_backend_bytes: None, snapshots: None };
        config(&hosted, &Layout::of(&identity), &epoch(), &place("a"), peers)
    }

    #[test]
    fn only_a_cluster_that_is_to_be_formed_is_new() {
        let formed = made("main", &Peers::to_form(&identity("main")));
        assert_eq!(formed["initial-cluster-state"], "new");
        assert_eq!(formed["discovery-srv"], "internal.c.example.com");
        assert_eq!(formed["initial-cluster-token"], epoch().token);
        assert!(formed.get("initial-cluster").is_none());
        assert!(formed.get("discovery-srv-name").is_none());
        let events = made("events", &Peers::to_form(&identity("events")));
        assert_eq!(events["discovery-srv-name"], "events");
        let existing = made("main", &Peers::of_existing(&epoch()));
        assert_eq!(existing["initial-cluster-state"], "existing");
        assert!(existing.get("discovery-srv").is_none());
    }

    #[test]
    fn whoever_joins_names_every_address_of_the_list_once_and_its_own_by_its_name() {
        let listed = |id: u64, name: &str, at: &str| Listed {
            id: MemberId(id),
            name: name.to_owned(),
            peer_urls: BTreeSet::from([place(at).peer_url]),
            client_urls: BTreeSet::new(),
            is_learner: name.is_empty(),
        };
        let members = vec![listed(1, "", "a"), listed(0xb, "b", "b"), listed(0xc, "b", "c")];
        let (cluster_id, program, cluster_version) = (ClusterId(1), None, None);
        let view = View { cluster_id, is_healthy: true, program, cluster_version, members };
        let Peers::Listed(peers) = Peers::to_join(&identity("main"), &place("a"), &view) else {
            panic!("a joiner forms nothing");
        };
        let wanted = [("a", "a"), ("b", "b"), ("c", "c")]
            .map(|(name, at)| (name.to_owned(), place(at).peer_url));
        assert_eq!(peers, wanted.into());
    }

    #[test]
    fn both_sides_of_both_ports_show_certificates() {
        let made = made("main", &Peers::of_existing(&epoch()));
        for transport in ["client-transport-security", "peer-transport-security"] {
            assert_eq!(made[transport]["client-cert-auth"], true);
            assert!(made[transport]["trusted-ca-file"].as_str().unwrap().ends_with("-ca.crt"));
        }
        for listen in ["listen-peer-urls", "listen-client-urls"] {
            assert!(made[listen].as_str().unwrap().starts_with("https://0.0.0.0:"));
        }
    }

    #[test]
    fn nothing_starts_etcd_at_boot() {
        let identity = identity("main");
        let text = unit(&identity, &Layout::of(&identity), Path::new("/usr/bin/etcd"));
        assert!(!text.contains("[Install]"));
        assert!(text.contains("ExecStart=/usr/bin/etcd --config-file /run/kprod/etcd/main.json\n"));
    }
}
