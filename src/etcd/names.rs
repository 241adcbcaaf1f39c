//! Names of etcd's hosts in the cluster's private zone: those of kops.

/// The cluster's own private zone, which is also the domain that members are discovered in.
pub fn private_zone(cluster: &str) -> String {
    format!("internal.{cluster}")
}

/// The name of a member's host, one for each etcd cluster it is in.
pub fn member_host(cluster: &str, etcd: &str, member: &str) -> String {
    let zone = private_zone(cluster);
    match etcd {
        "main" => format!("etcd-{member}.{zone}"),
        other => format!("etcd-{other}-{member}.{zone}"),
    }
}

/// The SRV record that lists an etcd cluster's peers. For all but `main` etcd is told
/// `--discovery-srv-name`, which it appends to the service's name.
pub fn service(cluster: &str, etcd: &str) -> String {
    let zone = private_zone(cluster);
    match etcd {
        "main" => format!("_etcd-server-ssl._tcp.{zone}"),
        other => format!("_etcd-server-ssl-{other}._tcp.{zone}"),
    }
}
