//! The container image, without an engine: an OCI layout for all architectures, and for each an archive for
//! `docker load`.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::archive::{Tar, gzip};
use super::list::Entry;
use super::{Release, Target, sha256};

/// Who runs in the image, and owns its data.
const UID: u64 = 10001;

/// The image of one architecture: one layer.
pub(super) struct Image {
    target: &'static Target,
    layer: Vec<u8>,
    config: Value,
}

impl Image {
    pub(super) fn new(entries: &[Entry], target: &'static Target, release: &Release) -> Result<Self> {
        let mut tar = Tar::new(release);
        for entry in entries {
            tar.file(entry.to.trim_start_matches('/'), &entry.bytes, entry.mode)?;
        }
        tar.folder("data", 0o700, UID)?;
        let layer = tar.finish()?;
        let created =
            Timestamp::from_second(i64::from(release.epoch)).context("the commit's time")?.to_string();
        let config = json!({
            "created": created,
            "architecture": target.debian,
            "os": "linux",
            "config": {
                "User": format!("{UID}:{UID}"),
                "ExposedPorts": {"8080/tcp": {}, "8081/tcp": {}},
                "Env": [
                    "TONGGUAN_DATA_DIR=/data",
                    "TONGGUAN_LISTEN=0.0.0.0:8080",
                    "TONGGUAN_ADMIN_LISTEN=0.0.0.0:8081",
                ],
                "Entrypoint": ["/tongguan"],
                "Cmd": ["serve"],
                "WorkingDir": "/data",
                "Volumes": {"/data": {}},
                "StopSignal": "SIGTERM",
                "Labels": {
                    "org.opencontainers.image.title": "tongguan",
                    "org.opencontainers.image.version": release.version,
                    "org.opencontainers.image.licenses": release.licence,
                    "org.opencontainers.image.source": release.homepage,
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]},
            "history": [{"created": created, "created_by": "cargo xtask dist"}],
        });
        Ok(Self { target, layer, config })
    }

    /// What `docker load` reads.
    pub(super) fn for_docker(&self, release: &Release) -> Result<Vec<u8>> {
        let mut config = self.config.clone();
        // OCI has no field for it.
        config["config"]["Healthcheck"] = json!({
            "Test": ["CMD", "/tongguan", "ready", "--url", "http://127.0.0.1:8081"],
            "Interval": 10_000_000_000_u64,
            "Timeout": 5_000_000_000_u64,
            "StartPeriod": 10_000_000_000_u64,
        });
        let config = config.to_string();
        let config_name = format!("{}.json", sha256(config.as_bytes()));
        let layer_name = format!("{}/layer.tar", sha256(&self.layer));
        let manifest = json!([{
            "Config": config_name,
            "RepoTags": [format!("tongguan:{}", release.version)],
            "Layers": [layer_name],
        }]);
        let mut tar = Tar::new(release);
        tar.file(&config_name, config.as_bytes(), 0o644)?;
        tar.file(&layer_name, &self.layer, 0o644)?;
        tar.file("manifest.json", manifest.to_string().as_bytes(), 0o644)?;
        tar.finish()
    }
}

/// One OCI layout, as a tar file: an index over the architectures.
pub(super) fn layout(images: &[Image], release: &Release) -> Result<Vec<u8>> {
    let mut tar = Tar::new(release);
    tar.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    let mut blob = |kind: &str, bytes: &[u8]| -> Result<Value> {
        let digest = sha256(bytes);
        tar.file(&format!("blobs/sha256/{digest}"), bytes, 0o644)?;
        let media = format!("application/vnd.oci.image.{kind}");
        Ok(json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
    };
    let mut manifests = Vec::new();
    for image in images {
        let config = blob("config.v1+json", image.config.to_string().as_bytes())?;
        let layer = blob("layer.v1.tar+gzip", &gzip(&image.layer)?)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
        });
        let mut described = blob("manifest.v1+json", manifest.to_string().as_bytes())?;
        described["platform"] = json!({"os": "linux", "architecture": image.target.debian});
        manifests.push(described);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    let mut named = blob("index.v1+json", index.to_string().as_bytes())?;
    named["annotations"] = json!({"org.opencontainers.image.ref.name": release.version});
    let outer = json!({"schemaVersion": 2, "manifests": [named]});
    tar.file("index.json", outer.to_string().as_bytes(), 0o644)?;
    tar.finish()
}
