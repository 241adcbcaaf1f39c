//! Systems Manager's parameters, as far as a cluster's keys and certificates need them.
//!
//! They are no part of the world's state: nothing in it depends on what a key is, and no file of a
//! world holds one. `cloud::sim` keeps them in files of their own.

use std::collections::{BTreeMap, BTreeSet};

use super::look::Look;
use super::{Answer, Refused, World};
use crate::cloud::{CloudError, Query, Reply, authority};
use crate::pki::{Authority, PUBLIC_PLACE, PkiError, PrivateKey, Secret, Signer};
use crate::resource::Kind;

/// Names that one call asks after. Source: Systems Manager API reference, ParameterStringFilter.
const NAMES: usize = 50;

/// Parameters by name.
pub(crate) type Stored = BTreeMap<String, Secret>;

impl World {
    /// Takes over a parameter that was kept elsewhere.
    pub(crate) fn keep_parameter(&mut self, name: String, value: Secret) {
        self.parameters.0.insert(name, value);
    }

    /// One parameter, without a call.
    pub(crate) fn parameter(&self, name: &str) -> Option<&Secret> {
        self.parameters.0.get(name)
    }

    /// The names of all parameters.
    pub fn parameter_names(&self) -> BTreeSet<String> {
        self.parameters.0.keys().cloned().collect()
    }

    /// Everything below a cluster's public place.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn public_parameters(
        &mut self,
        cluster: &str,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        self.begin_read("GetParametersByPath")?;
        let found = self.public_of(cluster);
        for _ in 0..pages(found.len()) {
            self.record("GetParametersByPath", false, "ok");
        }
        Ok(found)
    }

    /// Which of these parameters there are.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn parameters_there(
        &mut self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, CloudError> {
        self.begin_read("DescribeParameters")?;
        for _ in 0..names.len().div_ceil(NAMES) {
            self.record("DescribeParameters", false, "ok");
        }
        Ok(self.parameter_names().intersection(names).cloned().collect())
    }

    /// One parameter.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn secret_parameter(&mut self, name: &str) -> Result<Option<Secret>, CloudError> {
        self.begin_read("GetParameter")?;
        self.record("GetParameter", false, "ok");
        Ok(self.parameters.0.get(name).cloned())
    }

    pub(super) fn public_of(&self, cluster: &str) -> BTreeMap<String, String> {
        let place = format!("/kprod/{cluster}/{PUBLIC_PLACE}/");
        let all = self.parameters.0.iter().filter(|(name, _)| name.starts_with(&place));
        all.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
    }

    pub(super) fn create_authority(
        &mut self,
        cluster: &str,
        name: &str,
        parameter: &str,
    ) -> Answer {
        self.check_absent(parameter)?;
        let wanted = known(name)?;
        let key = PrivateKey::generate().map_err(|error| unmade(&error))?;
        let made = Signer::make(&wanted, cluster, key, self.now.timestamp());
        let made = made.map_err(|error| unmade(&error))?;
        self.parameters.0.insert(parameter.to_owned(), made.to_secret());
        told(&wanted, cluster, &made)
    }

    pub(super) fn read_authority(&self, cluster: &str, name: &str, parameter: &str) -> Answer {
        let Some(stored) = self.parameters.0.get(parameter) else {
            return Err(Refused::not_found(
                "ParameterNotFound",
                format!("there is no parameter {parameter}"),
            ));
        };
        let wanted = known(name)?;
        let read = Signer::parse(&wanted, cluster, stored).map_err(|error| unmade(&error))?;
        told(&wanted, cluster, &read)
    }

    pub(super) fn publish_authority(&mut self, parameter: &str, certificate: &str) -> Answer {
        self.check_absent(parameter)?;
        self.parameters.0.insert(parameter.to_owned(), Secret::new(certificate.to_owned()));
        Ok(Reply::default())
    }

    pub(super) fn delete_authority(&mut self, parameters: &BTreeSet<String>) -> Answer {
        self.parameters.0.retain(|name, _| !parameters.contains(name));
        Ok(Reply::default())
    }

    /// `PutParameter` without `Overwrite` (Systems Manager API reference).
    fn check_absent(&self, parameter: &str) -> Result<(), Refused> {
        if self.parameters.0.contains_key(parameter) {
            return Err(Refused::exists(
                "ParameterAlreadyExists",
                format!("the parameter {parameter} already exists"),
            ));
        }
        Ok(())
    }
}

/// Pages of `GetParametersByPath`: ten parameters each.
pub(super) fn pages(parameters: usize) -> usize {
    parameters.div_ceil(10).max(1)
}

/// Calls of `DescribeParameters` that a deep look makes.
pub(super) fn calls_for_keys(query: &Query, public: &BTreeMap<String, String>) -> usize {
    authority::secrets(query, public).len().div_ceil(NAMES)
}

fn known(name: &str) -> Result<Authority, Refused> {
    name.parse().map_err(|error| Refused::invalid("ValidationException", format!("{error}")))
}

fn unmade(error: &PkiError) -> Refused {
    Refused::invalid("ValidationException", error.to_string())
}

fn told(wanted: &Authority, cluster: &str, signer: &Signer) -> Answer {
    let told = authority::attributes(wanted, cluster, &signer.to_public());
    let attributes = told.map_err(|error| unmade(&error))?;
    Ok(Reply { attributes, ..Reply::default() })
}

impl Look<'_> {
    /// Authorities by what is public of them, and under a deep look by their keys.
    pub(super) fn authorities(&mut self) {
        let cluster = &self.query.cluster;
        let public = self.world.public_of(cluster);
        let keys = self.query.deep.then(|| {
            let secrets = authority::secrets(self.query, &public).into_iter();
            let there = secrets.filter(|(name, _)| self.world.parameters.0.contains_key(name));
            there.map(|(_, authority)| authority).collect()
        });
        for (name, observed) in authority::observed(cluster, &public, keys.as_ref()) {
            // What only bears the name of one is nobody's until the spec wants it.
            if observed.ownership.is_owned() || self.wants(Kind::Authority, &name) {
                self.add(&name, observed);
            }
        }
    }
}
