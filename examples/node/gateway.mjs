// The life of an SM gateway with the Node SDK: create it, bind both certificates, rotate them, unbind, delete.
//
//   npm install
//
// The access key comes from ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

// The packages are CommonJS.
const require = createRequire(import.meta.url);
const Vpc = require('@alicloud/vpc20160428');
const OpenApi = require('@alicloud/openapi-client');

const REGION = 'cn-hangzhou';
const ROLES = ['Encryption', 'Signature'];
const AUTHORITY = fileURLToPath(new URL('../authority', import.meta.url));

const config = new OpenApi.Config({
  accessKeyId: process.env.ALIBABA_CLOUD_ACCESS_KEY_ID,
  accessKeySecret: process.env.ALIBABA_CLOUD_ACCESS_KEY_SECRET,
  regionId: REGION,
  endpoint: process.env.TONGGUAN_ENDPOINT ?? '127.0.0.1:8080',
  protocol: 'HTTP',
});
const vpc = new Vpc.default(config);
const generic = new OpenApi.default(config);

/** The certificate operations have left the typed Kms client for Node; the generic client calls any operation. */
async function kms(action, query) {
  const params = new OpenApi.Params({
    action, version: '2016-01-20', protocol: 'HTTP', pathname: '/', method: 'POST',
    authType: 'AK', style: 'RPC', reqBodyType: 'formData', bodyType: 'json' });
  return (await generic.callApi(params, new OpenApi.OpenApiRequest({ query }), {})).body;
}

/** Every change takes effect after its answer: ask until it has. */
async function waitUntil(holds) {
  while (!(await holds())) await sleep(200);
}

const isActive = async (gateway) =>
  (await vpc.describeVpnGateway(new Vpc.DescribeVpnGatewayRequest({ regionId: REGION, vpnGatewayId: gateway }))).body.status === 'active';

/** A VPC with a vSwitch in each of two zones. */
async function createNetwork() {
  const { vpcId } = (await vpc.createVpc(new Vpc.CreateVpcRequest({ regionId: REGION, cidrBlock: '192.168.0.0/16', vpcName: 'example' }))).body;
  const network = new Vpc.DescribeVpcAttributeRequest({ regionId: REGION, vpcId });
  await waitUntil(async () => (await vpc.describeVpcAttribute(network)).body.status === 'Available');
  const zones = (await vpc.describeZones(new Vpc.DescribeZonesRequest({ regionId: REGION }))).body.zones.zone;
  const vSwitches = [];
  for (const number of [0, 1]) {
    const { vSwitchId } = (await vpc.createVSwitch(new Vpc.CreateVSwitchRequest({
      regionId: REGION, vpcId, zoneId: zones[number].zoneId, cidrBlock: `192.168.${number}.0/24` }))).body;
    const vSwitch = new Vpc.DescribeVSwitchAttributesRequest({ regionId: REGION, vSwitchId });
    await waitUntil(async () => (await vpc.describeVSwitchAttributes(vSwitch)).body.status === 'Available');
    vSwitches.push(vSwitchId);
  }
  return { vpcId, vSwitches };
}

async function createGateway({ vpcId, vSwitches }) {
  const { vpnGatewayId } = (await vpc.createVpnGateway(new Vpc.CreateVpnGatewayRequest({
    regionId: REGION, vpcId, vSwitchId: vSwitches[0], disasterRecoveryVSwitchId: vSwitches[1],
    vpnType: 'NationalStandard', instanceChargeType: 'POSTPAY', bandwidth: 10, name: 'example' }))).body;
  await waitUntil(() => isActive(vpnGatewayId));
  return vpnGatewayId;
}

/** A new key pair, whose private key stays in the service, and its certificate from our own authority. */
async function createCertificate(role, directory) {
  const made = await kms('CreateCertificate', { KeySpec: 'EC_SM2', Subject: `CN=${role},OU=vpn,O=example,C=CN` });
  const signed = spawnSync(AUTHORITY, [directory, role], { input: made.Csr, encoding: 'utf8' });
  if (signed.status !== 0) throw new Error(signed.stderr);
  const chain = readFileSync(join(directory, 'root.pem'), 'utf8');
  await kms('UploadCertificate', { CertificateId: made.CertificateId, Certificate: signed.stdout, CertificateChain: chain });
  return made.CertificateId;
}

async function bind(vpnGatewayId, certificateType, certificateId) {
  await vpc.associateVpnGatewayWithCertificate(new Vpc.AssociateVpnGatewayWithCertificateRequest({
    regionId: REGION, vpnGatewayId, certificateType, certificateId }));
  await waitUntil(() => isActive(vpnGatewayId));
}

async function unbind(vpnGatewayId, certificateType, certificateId) {
  await vpc.dissociateVpnGatewayWithCertificate(new Vpc.DissociateVpnGatewayWithCertificateRequest({
    regionId: REGION, vpnGatewayId, certificateType, certificateId }));
  await waitUntil(() => isActive(vpnGatewayId));
}

/** The certificates of a gateway, by role. */
async function bound(gateway) {
  const request = new Vpc.ListVpnCertificateAssociationsRequest({ regionId: REGION, vpnGatewayId: [gateway] });
  const relations = (await vpc.listVpnCertificateAssociations(request)).body.vpnCertificateRelations;
  return Object.fromEntries(relations.map((relation) => [relation.certificateType, relation.certificateId]));
}

async function show(title, gateway) {
  console.log(title);
  for (const [role, certificate] of Object.entries(await bound(gateway)).sort()) console.log(`${role}: ${certificate}`);
}

/** A role holds one certificate at a time, so the old one leaves before the new one is bound. */
async function rotate(gateway, role, directory) {
  const old = (await bound(gateway))[role];
  const replacement = await createCertificate(role, directory);
  await unbind(gateway, role, old);
  await bind(gateway, role, replacement);
  await kms('DeleteCertificate', { CertificateId: old });
  console.log(`Rotated ${role}: ${old} to ${replacement}.`);
}

async function deleteEverything(gateway, { vpcId, vSwitches }) {
  for (const [role, certificate] of Object.entries(await bound(gateway))) {
    await unbind(gateway, role, certificate);
    await kms('DeleteCertificate', { CertificateId: certificate });
  }
  await vpc.deleteVpnGateway(new Vpc.DeleteVpnGatewayRequest({ regionId: REGION, vpnGatewayId: gateway }));
  const gateways = new Vpc.DescribeVpnGatewaysRequest({ regionId: REGION, vpnGatewayId: gateway });
  await waitUntil(async () => (await vpc.describeVpnGateways(gateways)).body.totalCount === 0);
  for (const vSwitchId of vSwitches) await vpc.deleteVSwitch(new Vpc.DeleteVSwitchRequest({ regionId: REGION, vSwitchId }));
  const left = new Vpc.DescribeVSwitchesRequest({ regionId: REGION, vpcId });
  await waitUntil(async () => (await vpc.describeVSwitches(left)).body.totalCount === 0);
  await vpc.deleteVpc(new Vpc.DeleteVpcRequest({ regionId: REGION, vpcId }));
}

const directory = mkdtempSync(join(tmpdir(), 'authority-'));
try {
  const network = await createNetwork();
  const gateway = await createGateway(network);
  console.log(`Gateway ${gateway} is active.`);
  for (const role of ROLES) await bind(gateway, role, await createCertificate(role, directory));
  await show('Both certificates are bound:', gateway);
  for (const role of ROLES) await rotate(gateway, role, directory);
  await show('The new certificates are bound:', gateway);
  await deleteEverything(gateway, network);
  console.log('Everything is deleted again.');
} finally {
  rmSync(directory, { recursive: true });
}
