//! Security groups, their rules, and tags of EC2 resources.

use std::collections::BTreeSet;

use kprod::cloud::{Call, Cloud, CloudErrorKind};
use kprod::resource::{Key, Kind, Resource, Rule, SecurityGroup, SecurityGroupRules, Tags};

use super::{Scene, known, strings};

impl<C: Cloud> Scene<'_, C> {
    /// The call that makes a security group with the law's tags.
    fn create_group(&self, name: &str) -> Call {
        Call::CreateSecurityGroup {
            group_name: name.to_owned(),
            description: "contract".to_owned(),
            vpc_id: self.network().vpc.clone(),
            tags: self.tags(),
        }
    }

    /// Makes a security group, and gives its id.
    pub(super) async fn security_group(&self, name: &str) -> String {
        self.made(self.create_group(name)).await
    }

    /// Removes a security group as soon as nothing holds it.
    pub(super) async fn delete_security_group(&self, group_id: &str) {
        self.make(Call::DeleteSecurityGroup { group_id: group_id.to_owned() }).await;
    }
}

pub(super) async fn groups<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let group_id = scene.security_group(&name).await;
    let mut wanted = SecurityGroup {
        group_name: name.clone(),
        description: "contract".to_owned(),
        vpc_id: scene.network().vpc.clone(),
        tags: scene.tags(),
    };
    scene.shows(&name, &Resource::SecurityGroup(wanted.clone())).await;
    let again = scene.create_group(&name);
    scene.refused(again, CloudErrorKind::AlreadyExists, "InvalidGroup.Duplicate").await;

    wanted.tags.insert("colour".to_owned(), "blue".to_owned());
    let tags = Tags::from([("colour".to_owned(), "blue".to_owned())]);
    scene.make(Call::CreateTags { resource_ids: [group_id.clone()].into(), tags }).await;
    scene.shows(&name, &Resource::SecurityGroup(wanted.clone())).await;
    // A key that is not there is no error.
    wanted.tags.remove("Name");
    let keys = strings(["Name", "nobody"]);
    scene.make(Call::DeleteTags { resource_ids: [group_id.clone()].into(), keys }).await;
    scene.shows(&name, &Resource::SecurityGroup(wanted)).await;

    scene.delete_security_group(&group_id).await;
    scene.gone(Kind::SecurityGroup, &name).await;
    let again = Call::DeleteSecurityGroup { group_id: group_id.clone() };
    scene.refused(again, CloudErrorKind::NotFound, "InvalidGroup.NotFound").await;

    let Call::CreateSecurityGroup { group_name, description, tags, .. } = scene.create_group("b")
    else {
        panic!()
    };
    let vpc_id = "vpc-0123456789abcdef0".to_owned();
    let astray = Call::CreateSecurityGroup { group_name, description, vpc_id, tags };
    scene.refused(astray, CloudErrorKind::NotFound, "InvalidVpcID.NotFound").await;
}

pub(super) async fn rules<C: Cloud>(scene: &Scene<'_, C>) {
    let (name, peer_name) = (scene.name("a"), scene.name("peer"));
    let group_id = scene.security_group(&name).await;
    let peer = scene.security_group(&peer_name).await;
    let mark = SecurityGroupRules::owner_description(&scene.cluster);
    let (ingress, egress) = (inbound(&peer), outbound());
    let allow_in = |rules: BTreeSet<Rule>, description: &str| Call::AuthorizeSecurityGroupIngress {
        group_id: group_id.clone(),
        rules,
        description: description.to_owned(),
    };
    scene.make(allow_in(ingress.clone(), &mark)).await;
    scene
        .make(Call::AuthorizeSecurityGroupEgress {
            group_id: group_id.clone(),
            rules: egress.clone(),
            description: mark.clone(),
        })
        .await;
    let shown = |rules: BTreeSet<Rule>| {
        Resource::SecurityGroupRules(SecurityGroupRules { group_id: known(&group_id), rules })
    };
    let seen = scene.shows(&name, &shown(ingress.union(&egress).cloned().collect())).await;
    assert_eq!(seen.foreign_rules, BTreeSet::from([Rule::default_egress()]), "AWS's own");

    // A rule is there once, whoever marks it; a call with one that is there does nothing at all.
    let code = "InvalidPermission.Duplicate";
    let by_hand = rule("tcp", 22, |rule| rule.cidr_ipv4 = Some("10.9.0.0/16".to_owned()));
    let taken = ingress.first().unwrap().clone();
    for description in [mark.as_str(), "by hand"] {
        let rules = BTreeSet::from([by_hand.clone(), taken.clone()]);
        scene.refused(allow_in(rules, description), CloudErrorKind::AlreadyExists, code).await;
    }
    scene.make(allow_in(BTreeSet::from([by_hand.clone()]), "by hand")).await;
    let key = Key::new(Kind::SecurityGroupRules, name.as_str());
    let seen = scene.see(&key, |seen| seen.foreign_rules.contains(&by_hand)).await;
    let Resource::SecurityGroupRules(ours) = &seen.resource else { panic!() };
    assert_eq!(ours.rules.len(), ingress.len() + egress.len());

    let delete_peer = Call::DeleteSecurityGroup { group_id: peer.clone() };
    scene.refused(delete_peer, CloudErrorKind::InUse, "DependencyViolation").await;

    // Whoever marked it, a rule is revoked without its mark, and then it is gone.
    let revoke_in = |rules| Call::RevokeSecurityGroupIngress { group_id: group_id.clone(), rules };
    scene.make(revoke_in(ingress.clone())).await;
    scene.make(revoke_in(BTreeSet::from([by_hand]))).await;
    let rules = BTreeSet::from([Rule::default_egress()]);
    scene.make(Call::RevokeSecurityGroupEgress { group_id: group_id.clone(), rules }).await;
    scene.see(&key, |seen| seen.foreign_rules.is_empty()).await;
    scene.shows(&name, &shown(egress)).await;
    let code = "InvalidPermission.NotFound";
    scene.refused(revoke_in(ingress), CloudErrorKind::NotFound, code).await;

    scene.delete_security_group(&peer).await;
    scene.delete_security_group(&group_id).await;
    scene.gone(Kind::SecurityGroupRules, &name).await;
}

/// A rule of each sort of peer and of protocol.
fn inbound(peer: &str) -> BTreeSet<Rule> {
    BTreeSet::from([
        rule("tcp", 443, |rule| rule.cidr_ipv4 = Some("10.0.0.0/8".to_owned())),
        rule("udp", 8472, |rule| rule.referenced_group_id = Some(known(peer))),
        rule("tcp", 6443, |rule| rule.cidr_ipv6 = Some("fd00::/8".to_owned())),
        rule("-1", -1, |rule| rule.referenced_group_id = Some(known(peer))),
        rule("4", -1, |rule| rule.referenced_group_id = Some(known(peer))),
        rule("icmp", -1, |rule| rule.cidr_ipv4 = Some("10.0.0.0/8".to_owned())),
    ])
}

fn outbound() -> BTreeSet<Rule> {
    BTreeSet::from([rule("tcp", 53, |rule| {
        rule.is_egress = true;
        rule.cidr_ipv4 = Some("10.0.0.2/32".to_owned());
    })])
}

fn rule(ip_protocol: &str, port: i32, edit: impl Fn(&mut Rule)) -> Rule {
    let mut rule = Rule {
        is_egress: false,
        ip_protocol: ip_protocol.to_owned(),
        from_port: port,
        to_port: port,
        cidr_ipv4: None,
        cidr_ipv6: None,
        prefix_list_id: None,
        referenced_group_id: None,
    };
    edit(&mut rule);
    rule
}
