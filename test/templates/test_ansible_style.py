"""A template as operators write it for Ansible renders here what it renders there.

Ansible's own setting of Jinja2 is repeated here: blocks are trimmed, the last newline is kept, and
an undefined name is an error.
"""

import json
from collections.abc import Mapping

import pytest
from jinja2 import Environment, StrictUndefined

from templates.samples import rendered

VHOST = """\
# {{ ansible_managed | default('written by hand') }}
{% set upstream = site.name | replace('.', '_') %}
upstream {{ upstream }} {
{% for host in groups[site.group] | sort %}
    server {{ hostvars[host].address }}:{{ site.port | default(8080) }}{% if loop.first %} \
max_fails={{ site.max_fails | default(3) }}{% endif %};
{% endfor %}
{% if site.keepalive is defined and site.keepalive | int > 0 %}
    keepalive {{ site.keepalive }};
{% endif %}
}

{% macro header(name, value) -%}
add_header {{ name }} "{{ value }}" always;
{%- endmacro %}
server {
    listen {{ '443 ssl' if site.tls else '80' }};
    server_name {{ ([site.name] + site.aliases | default([])) | join(' ') }};
{% if site.tls %}
    ssl_certificate     {{ tls_folder }}/{{ site.name }}.crt;
    ssl_certificate_key {{ tls_folder }}/{{ site.name }}.key;
{% endif %}

{%- for name, value in site.headers | dictsort %}
    {{ header(name, value) }}
{% endfor %}

{% for location in site.locations if location.enabled | default(true) %}
    location {{ location.path }} {
  {% if location.root is defined %}
        root {{ location.root }};
        try_files $uri $uri/ {{ location.fallback | default('=404') }};
  {% else %}
        proxy_pass http://{{ upstream }}{{ location.prefix | default('') }};
        proxy_set_header Host $host;
        proxy_read_timeout {{ location.timeout_s | default(60) }}s;
  {% endif %}
    }
{% else %}
    return 204;
{% endfor %}

    access_log /var/log/nginx/{{ site.name }}.log {{ site.log_format | default('main') | lower }};
    client_max_body_size {{ '%dm' | format(site.body_mb) }};  {# in MiB #}
    # {{ site.locations | map(attribute='path') | list | length }} locations, \
{{ site.locations | selectattr('root', 'defined') | map(attribute='path') | join(', ') }} from disk
}
"""
SITE = {
    "name": "www.example.org",
    "group": "web",
    "aliases": ["example.org", "example.net"],
    "tls": True,
    "max_fails": 5,
    "keepalive": 16,
    "headers": {"X-Frame-Options": "DENY", "Strict-Transport-Security": "max-age=1; preload"},
    "body_mb": 20,
    "locations": [
        {"path": "/static/", "root": "/srv/www"},
        {"path": "/old/", "enabled": False},
        {"path": "/api/", "prefix": "/v1/", "timeout_s": 5},
    ],
}
VARIABLES = {
    "site": SITE,
    "tls_folder": "/etc/nginx/tls",
    "groups": {"web": ["b2", "a1", "c3"]},
    "hostvars": {name: {"address": f"10.0.0.{name[1]}"} for name in ("a1", "b2", "c3")},
}
READ = (
    "{% set v = zk('/v/variables') | from_json %}"
    "{% set site = v.site %}{% set tls_folder = v.tls_folder %}"
    "{% set groups = v.groups %}{% set hostvars = v.hostvars %}"
)
"""Defines what Ansible would define."""


def as_ansible_renders(text: str, variables: Mapping[str, object]) -> str:
    """What the template module of Ansible writes."""
    environment = Environment(  # noqa: S701 -- Ansible escapes nothing, either
        trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    return environment.from_string(text).render(variables)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tls": False, "keepalive": 0},
        {"locations": [], "headers": {}, "aliases": []},
        {"port": 81, "log_format": "JSON"},
    ],
)
def test_a_virtual_host_is_rendered_as_by_ansible(changes: dict[str, object]) -> None:
    """A virtual host of nginx, with loops, macros, filters and white space, is the same text."""
    variables = {**VARIABLES, "site": {**SITE, **changes}}
    values = {"/v": {"variables": json.dumps(variables).encode()}}
    expected = as_ansible_renders(VHOST, variables)

    assert "server_name www.example.org" in expected
    assert rendered(READ + VHOST, values) == expected
