//! Launch templates and their versions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Answer, Refused, World, check_tags, is_made_of, reply};
use crate::cloud::{CloudError, Reply, VersionFacts};
use crate::resource::{Attribute, LaunchTemplateData, Tags};

/// A launch template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredTemplate {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Tags,
    /// Its versions by number; at least one.
    pub versions: BTreeMap<u64, StoredVersion>,
}

impl StoredTemplate {
    /// The newest version's number.
    pub fn latest(&self) -> u64 {
        self.versions.keys().next_back().copied().unwrap_or(0)
    }
}

/// A version: never changed once made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredVersion {
    /// Its description; kprod keeps the revision there.
    pub description: String,
    /// Its content, as given: AWS checks next to nothing of it.
    pub data: LaunchTemplateData,
    /// The Kubernetes version that its machines run: that of the owner when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
}

impl StoredVersion {
    /// The version as the port tells it. A revision is sixteen hex digits and nothing else.
    pub fn facts(&self) -> VersionFacts {
        let is_revision = self.description.len() == 16
            && self.description.bytes().all(|digit| digit.is_ascii_hexdigit());
        VersionFacts {
            revision: is_revision.then(|| self.description.clone()),
            data: self.data.clone(),
        }
    }
}

impl World {
    /// Versions of one template (EC2 quotas).
    const VERSIONS_MAX: usize = 10_000;
    /// User data before base64 (EC2 User Guide, "Run commands when you launch an EC2 instance").
    const USER_DATA_BYTES_MAX: usize = 16 * 1024;

    pub(super) fn create_template(
        &mut self,
        name: &str,
        description: &str,
        data: &LaunchTemplateData,
        tags: &Tags,
        token: &str,
    ) -> Answer {
        let parameters = serde_json::json!([name, description, data, tags]);
        self.with_token("CreateLaunchTemplate", token, &parameters, |world| {
            let is_name = (3..=128).contains(&name.len()) && is_made_of(name, "().-/_");
            if !is_name {
                return Err(Refused::invalid(
                    "InvalidLaunchTemplateName.MalformedException",
                    format!("names take 3 to 128 letters, digits and ().-/_: '{name}'"),
                ));
            }
            check_tags(tags.iter())?;
            check_version(description, data)?;
            if world.templates.get(name).is_some() {
                return Err(Refused::exists(
                    "InvalidLaunchTemplateName.AlreadyExistsException",
                    format!("launch template name already in use: {name}"),
                ));
            }
            let id = world.new_id("lt");
            let version = StoredVersion {
                description: description.to_owned(),
                data: data.clone(),
                kubernetes_version: world.version_of_owner(tags),
            };
            let stored = StoredTemplate {
                id: id.clone(),
                name: name.to_owned(),
                tags: tags.clone(),
                versions: BTreeMap::from([(1, version)]),
            };
            let visibility = world.visibility();
            world.templates.put(name, stored, visibility);
            Ok(Reply { version: Some(1), ..reply([(Attribute::Id, id)]) })
        })
    }

    pub(super) fn create_template_version(
        &mut self,
        name: &str,
        description: &str,
        data: &LaunchTemplateData,
        token: &str,
    ) -> Answer {
        let parameters = serde_json::json!([name, description, data]);
        self.with_token("CreateLaunchTemplateVersion", token, &parameters, |world| {
            let mut stored = world.template(name)?;
            check_version(description, data)?;
            if stored.versions.len() >= Self::VERSIONS_MAX {
                return Err(Refused::quota(
                    "VersionLimitExceeded",
                    format!("a launch template takes {} versions", Self::VERSIONS_MAX),
                ));
            }
            let (id, number) = (stored.id.clone(), stored.latest().saturating_add(1));
            let version = StoredVersion {
                description: description.to_owned(),
                data: data.clone(),
                kubernetes_version: world.version_of_owner(&stored.tags),
            };
            stored.versions.insert(number, version);
            let visibility = world.visibility();
            world.templates.put(name, stored, visibility);
            Ok(Reply { version: Some(number), ..reply([(Attribute::Id, id)]) })
        })
    }

    /// A dry run of RunInstances: all that a launch checks, except capacity.
    pub(super) fn prove_template_version(
        &mut self,
        name: &str,
        version: u64,
        subnet_id: Option<&str>,
    ) -> Answer {
        self.check_launch(name, version, subnet_id)?;
        Ok(Reply::default())
    }

    /// Groups that still name the template keep their pin, and fail at their next launch.
    pub(super) fn delete_template(&mut self, name: &str) -> Answer {
        self.template(name)?;
        let visibility = self.visibility();
        self.templates.remove(name, visibility);
        Ok(Reply::default())
    }

    /// Reads versions by number, and the newest one, of templates by name; unknown ones are left
    /// out.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn read_versions(
        &mut self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        let mut found = BTreeMap::new();
        for (name, numbers) in wanted {
            self.begin_read("DescribeLaunchTemplateVersions")?;
            self.record("DescribeLaunchTemplateVersions", false, "ok");
            let Some(template) = self.templates.by_key(name, self.now) else { continue };
            let latest = template.latest();
            let versions = template
                .versions
                .iter()
                .filter(|(number, _)| **number == latest || numbers.contains(number))
                .map(|(number, version)| (*number, version.facts()))
                .collect();
            found.insert(name.clone(), versions);
        }
        Ok(found)
    }

    pub(super) fn template(&self, name: &str) -> Result<StoredTemplate, Refused> {
        self.templates.usable(name, self.now).cloned().ok_or_else(|| {
            Refused::not_found(
                "InvalidLaunchTemplateName.NotFoundException",
                format!("the specified launch template, with template name {name}, does not exist"),
            )
        })
    }

    pub(super) fn template_by_id(&self, id: &str) -> Result<StoredTemplate, Refused> {
        self.templates
            .values()
            .find(|template| template.id == id)
            .map(|template| template.name.clone())
            .and_then(|name| self.templates.usable(&name, self.now).cloned())
            .ok_or_else(|| {
                Refused::not_found(
                    "InvalidLaunchTemplateId.NotFound",
                    format!("the specified launch template, with template ID {id}, does not exist"),
                )
            })
    }
}

fn check_version(description: &str, data: &LaunchTemplateData) -> Result<(), Refused> {
    if description.len() > 255 {
        return Err(Refused::invalid(
            "InvalidParameterValue",
            "version descriptions take 255 characters",
        ));
    }
    if data.user_data.len() > World::USER_DATA_BYTES_MAX {
        return Err(Refused::invalid(
            "InvalidUserData.Malformed",
            format!("user data is limited to {} bytes", World::USER_DATA_BYTES_MAX),
        ));
    }
    Ok(())
}
