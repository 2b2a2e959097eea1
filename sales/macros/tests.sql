{# Data tests: they hold on every engine that dbt builds on, and say what Topline keeps by itself. What each
   holds is said in macros.yml. #}

{% test unique_key(model) %}
{%- set relation = model | string -%}
{%- set found = namespace(key=[]) -%}
{%- if execute -%}
  {%- for node in (graph.nodes.values() | list) + (graph.sources.values() | list) if node.relation_name == relation -%}
    {%- set found.key = node.config.meta.key | default([]) -%}
  {%- endfor -%}
  {%- if not found.key -%}
    {{ exceptions.raise_compiler_error('unique_key: ' ~ relation ~ ' declares no key; write config: {meta: {key: [..]}}') }}
  {%- endif -%}
{%- endif -%}
select {{ found.key | join(', ') }}, count(*) as times
from {{ model }}
group by {{ found.key | join(', ') }}
having count(*) > 1{% for part in found.key %} or {{ part }} is null{% endfor %}
{% endtest %}

{% test follows_the_rules(model, column_name) %}
{%- set conditions = sale_rules() | selectattr(0, 'equalto', column_name) | map(attribute=1) | list -%}
{%- if not conditions -%}
  {{ exceptions.raise_compiler_error('follows_the_rules: sale_rules() has none for ' ~ column_name) }}
{%- endif -%}
select *
from {{ model }}
where ({{ conditions | join(') or (') }})
{% endtest %}

{% test accepted_range(model, column_name, least=none, greatest=none) %}
select *
from {{ model }}
where {{ column_name }} is null
{%- if least is not none %} or {{ column_name }} < {{ least }}{% endif %}
{%- if greatest is not none %} or {{ column_name }} > {{ greatest }}{% endif %}
{% endtest %}
