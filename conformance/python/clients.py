"""The official Python clients behind one face: `call(principal, product, action, parameters) -> body`.

The parameters and the body are spelled as on the wire; in between everything goes through the client's own typed
request and response classes, so a wrong shape shows. An operation or parameter that a client does not know (older
releases, unknown actions on purpose) goes through the same library's generic call.

Each client's exception is checked for type and form here and turned into a `Refusal`.
"""

import json
import os

from harness.server import CASES, PRINCIPALS
from scenario import Refusal

REGION = "cn-hangzhou"
VERSIONS = json.loads((CASES / "versions.json").read_text())


def make(name, endpoint, **options):
    return {"py-7.x": Tea7, "py-2.x": Tea2, "py-core": Core}[name](name, endpoint, **options)


def identity(principal):
    """Key id, secret and perhaps token: a named principal's, or those of a key or session the server answered."""
    if isinstance(principal, str):
        return PRINCIPALS[principal]
    names = {"access_key_id": "AccessKeyId", "access_key_secret": "AccessKeySecret", "security_token": "SecurityToken"}
    return {name: principal.get(wire) for name, wire in names.items()}


def name_of(principal):
    """What a client is kept under."""
    return principal if isinstance(principal, str) else json.dumps(principal)


def host(endpoint):
    return endpoint.split("://", 1)[1]


class Tea:
    """alibabacloud-*: one class per product, generated; `alibabacloud_tea_openapi` below."""

    hides_detail = False

    def __init__(self, name, endpoint, **config):
        self.name, self.config = name, config
        self.protocol = endpoint.split(":")[0].upper()
        self.host = host(endpoint)
        self.clients = {}

    def client(self, product, principal):
        """The client of one product; the generic one for products without."""
        key = product, name_of(principal)
        if key not in self.clients:
            self.clients[key] = self._connect(product, identity(principal))
        return self.clients[key]

    def _connect(self, product, who):
        from alibabacloud_tea_openapi import models
        options = {name: who.get(name) for name in ("access_key_id", "access_key_secret", "security_token")} | self.config
        return self._classes().get(product, self._generic())(models.Config(
            region_id=REGION, endpoint=self.host, protocol=self.protocol, **options))

    @staticmethod
    def _generic():
        from alibabacloud_tea_openapi.client import Client
        return Client

    @staticmethod
    def _classes():
        from alibabacloud_cas20200407.client import Client as Cas
        from alibabacloud_kms20160120.client import Client as Kms
        from alibabacloud_ram20150501.client import Client as Ram
        from alibabacloud_resourcemanager20200331.client import Client as ResourceManager
        from alibabacloud_sts20150401.client import Client as Sts
        from alibabacloud_vpc20160428.client import Client as Vpc
        return {"Vpc": Vpc, "Kms": Kms, "Cas": Cas, "Ram": Ram, "Sts": Sts, "ResourceManager": ResourceManager}

    @staticmethod
    def _models(product):
        import alibabacloud_cas20200407.models as cas
        import alibabacloud_kms20160120.models as kms
        import alibabacloud_ram20150501.models as ram
        import alibabacloud_resourcemanager20200331.models as resourcemanager
        import alibabacloud_sts20150401.models as sts
        import alibabacloud_vpc20160428.models as vpc
        return {"Vpc": vpc, "Kms": kms, "Cas": cas, "Ram": ram, "Sts": sts, "ResourceManager": resourcemanager}.get(product)

    def call(self, principal, product, action, parameters, version=None):
        try:
            request = None if version else self._typed_request(product, action, parameters)
            if request is not None:
                method = self._method(self.client(product, principal), action)
                return method(request).body.to_map()
            if not version and not parameters and self._without_parameters(product, action):
                return self._method(self.client(product, principal), action)().body.to_map()
            return self._call_generic(self.client("", principal), action, version or VERSIONS[product], parameters)
        except Exception as error:
            self._raise(error)

    def _raise(self, error):
        """A server's refusal in the form this client gives it; anything else is a fault and goes up as it is."""
        refusal = self.refusal(error)
        if refusal is None:
            raise error
        raise refusal from error

    def _typed_request(self, product, action, parameters):
        kind = getattr(self._models(product), f"{action}Request", None)
        if kind is None:
            return None
        request = kind()
        request.from_map(parameters)
        return request if kept(request.to_map(), parameters) else None

    def _without_parameters(self, product, action):
        """Operations that have no parameters have no request class either."""
        return hasattr(self._models(product), f"{action}Response") and not hasattr(self._models(product), f"{action}Request")

    @staticmethod
    def _method(client, action):
        """DescribeVSwitches is describe_vswitches: compare without case and underscores."""
        names = {name.replace("_", ""): name for name in dir(client)}
        return getattr(client, names[action.lower()])

    def _call_generic(self, client, action, version, parameters):
        raise NotImplementedError

    def refusal(self, error):
        raise NotImplementedError


def kept(made, given):
    """Whether a request has every parameter that was given, and every member of it."""
    if isinstance(given, dict):
        return all(name in made and kept(made[name], value) for name, value in given.items())
    if isinstance(given, list):
        return len(made) == len(given) and all(map(kept, made, given))
    return True


def flatten(parameters):
    """What a caller of a generic interface writes by hand: Name.1, Tag.1.Key."""
    flat = {}

    def walk(prefix, value):
        if isinstance(value, list):
            for index, item in enumerate(value, 1):
                walk(f"{prefix}.{index}", item)
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else key, item)
        else:
            flat[prefix] = json.dumps(value) if isinstance(value, (bool, int)) else value

    walk("", parameters)
    return flat


class Tea7(Tea):
    """alibabacloud-vpc20160428 7.x and its contemporaries, on darabonba-core."""

    def _call_generic(self, client, action, version, parameters):
        from alibabacloud_tea_openapi.utils_models import OpenApiRequest, Params
        from darabonba.runtime import RuntimeOptions
        params = Params(action=action, version=version, protocol=self.protocol, pathname="/", method="POST",
                        auth_type="AK", style="RPC", req_body_type="formData", body_type="json")
        return client.call_api(params, OpenApiRequest(query=flatten(parameters)), RuntimeOptions())["body"]

    def refusal(self, error):
        from alibabacloud_tea_openapi import exceptions
        from Tea.exceptions import TeaException
        if type(error) in (exceptions.ClientException, exceptions.ServerException, exceptions.ThrottlingException):
            family = "ClientException" if error.status_code < 500 else "ServerException"
            assert type(error).__name__ in (family, "ThrottlingException"), f"{type(error)} for {error.status_code}"
            # The class keeps the text of the old one, too: status, message and request id in a sentence.
            message, _, request_id = error.message.removeprefix(f"code: {error.status_code}, ").rpartition(" request id: ")
            assert request_id == error.request_id, error.message
            # Only this class has the property; the others hide it in the data.
            detail = getattr(error, "access_denied_detail", None)
            return Refusal(error.code, error.status_code, message, error.request_id, detail)
        # The older product clients (Kms 2.x) convert to the old exception.
        if type(error) is TeaException:
            return tea_exception(error)
        return None


class Tea2(Tea):
    """alibabacloud-vpc20160428 2.0.28 on alibabacloud-tea-openapi 0.3."""

    def _call_generic(self, client, action, version, parameters):
        from alibabacloud_tea_openapi.models import OpenApiRequest, Params
        from alibabacloud_tea_util.models import RuntimeOptions
        params = Params(action=action, version=version, protocol=self.protocol, pathname="/", method="POST",
                        auth_type="AK", style="RPC", req_body_type="formData", body_type="json")
        return client.call_api(params, OpenApiRequest(query=flatten(parameters)), RuntimeOptions())["body"]

    def refusal(self, error):
        from Tea.exceptions import TeaException
        return tea_exception(error) if type(error) is TeaException else None


def tea_exception(error):
    """The text is `code: 404, <Message> request id: <RequestId>`; the fields are in `data`."""
    status = error.data["statusCode"]
    message, _, request_id = error.message.removeprefix(f"code: {status}, ").rpartition(" request id: ")
    fields = {key.lower(): value for key, value in error.data.items()}
    assert (message, request_id) == (fields["message"], fields["requestid"]), error.message
    return Refusal(error.code, status, message, request_id, error.accessDeniedDetail)


class Core:
    """aliyun-python-sdk-core with the product packages aliyun-python-sdk-vpc, -kms and so on; signs the old way."""

    hides_detail = True  # its exception has no AccessDeniedDetail
    PACKAGES = {"Vpc": "aliyunsdkvpc.request.v20160428", "Kms": "aliyunsdkkms.request.v20160120", "Sts": "aliyunsdksts.request.v20150401",
                "Ram": "aliyunsdkram.request.v20150501", "ResourceManager": "aliyunsdkresourcemanager.request.v20200331"}

    def __init__(self, name, endpoint):
        self.name, self.endpoint = name, endpoint
        self.clients = {}

    def _client(self, principal):
        key = name_of(principal)
        if key not in self.clients:
            self.clients[key] = self._connect(identity(principal))
        return self.clients[key]

    @staticmethod
    def _connect(who):
        from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
        from aliyunsdkcore.client import AcsClient
        key = who["access_key_id"], who["access_key_secret"]
        credential = StsTokenCredential(*key, who["security_token"]) if who.get("security_token") else AccessKeyCredential(*key)
        return AcsClient(region_id=REGION, credential=credential)

    def call(self, principal, product, action, parameters, version=None):
        from aliyunsdkcore.acs_exception.exceptions import ServerException
        request = None if version else self._typed_request(product, action, parameters)
        request = request or self._generic_request(product, action, version, parameters)
        request.set_endpoint(host(self.endpoint))
        request.set_protocol_type("http")
        request.set_accept_format("JSON")
        try:
            return json.loads(self._client(principal).do_action_with_exception(request))
        except ServerException as error:
            text = (f"HTTP Status: {error.http_status} Error:{error.error_code} {error.message} RequestID: {error.request_id}")
            assert str(error) == text, str(error)
            raise Refusal(error.error_code, error.http_status, error.message, error.request_id) from error

    def _typed_request(self, product, action, parameters):
        from importlib import import_module
        try:
            request = getattr(import_module(f"{self.PACKAGES[product]}.{action}Request"), f"{action}Request")()
        except (KeyError, ModuleNotFoundError):
            return None
        for key, value in parameters.items():
            if key == "RegionId":
                request.add_query_param(key, value)  # no setter; without it the client adds its own
                continue
            # Lists have the plural in the method's name.
            setter = getattr(request, f"set_{key}s" if isinstance(value, list) else f"set_{key}", None)
            if setter is None:
                return None
            setter(value)
        return request

    @staticmethod
    def _generic_request(product, action, version, parameters):
        from aliyunsdkcore.request import CommonRequest
        request = CommonRequest(product=product, version=version or VERSIONS[product], action_name=action)
        request.set_method("POST")
        for key, value in flatten(parameters).items():
            request.add_query_param(key, value)
        return request


def rsa_credentials():
    """What the RSA algorithm takes as its secret: a PKCS #8 private key, base64 of the DER without the PEM frame."""
    pem = open(os.environ["CONFORMANCE_RSA_KEY"]).read()
    return {"access_key_id": PRINCIPALS["rsa"]["access_key_id"],
            "access_key_secret": "".join(line for line in pem.splitlines() if not line.startswith("-----"))}
