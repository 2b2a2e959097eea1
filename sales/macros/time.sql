{# Time: instants are TIMESTAMPTZ, days are business days in the project's time zone. Arguments are SQL expressions, given
   as strings; a zone is an IANA name as a Jinja string. Years 1900 to 2999: all engines agree there. Spark's session zone
   is to be UTC. What each macro gives is said in macros.yml. #}

{% macro business_date(instant) -%}
cast({{ at_zone(instant, var('time_zone')) }} as date)
{%- endmacro %}

{% macro at_zone(value, zone) -%}
{{ return(adapter.dispatch('at_zone')(value, zone)) }}
{%- endmacro %}

{% macro default__at_zone(value, zone) -%} (({{ value }}) at time zone '{{ zone }}') {%- endmacro %}
{% macro spark__at_zone(value, zone) -%} from_utc_timestamp({{ value }}, '{{ zone }}') {%- endmacro %}
{% macro snowflake__at_zone(value, zone) -%} convert_timezone('{{ zone }}', {{ value }}) {%- endmacro %}

{% macro local_to_instant(value, zone) -%}
{{ return(adapter.dispatch('local_to_instant')(value, zone)) }}
{%- endmacro %}

{% macro default__local_to_instant(value, zone) -%} (({{ value }}) at time zone '{{ zone }}') {%- endmacro %}
{% macro spark__local_to_instant(value, zone) -%} to_utc_timestamp({{ value }}, '{{ zone }}') {%- endmacro %}
{# convert_timezone gives a time without a zone, which the session's zone would be put on. #}
{% macro snowflake__local_to_instant(value, zone) -%}
to_timestamp_tz(to_char(convert_timezone('{{ zone }}', 'UTC', {{ value }}), 'YYYY-MM-DD HH24:MI:SS.FF6') || ' +00:00')
{%- endmacro %}

{% macro try_date(text) -%}
case when length({{ nonempty(text) }}) = 10 and {{ text_matches(nonempty(text), date_pattern()) }}
  then {{ safe_cast_text(nonempty(text), 'date') }} end
{%- endmacro %}

{% macro to_instant(text, zone) -%}
case when {{ text_matches(nonempty(text), instant_pattern()) }}
  then {{ safe_cast_text(microseconds(nonempty(text)), instant_type()) }}
  when {{ text_matches(nonempty(text), local_pattern()) }}
  then {{ local_to_instant(safe_cast_text(microseconds(nonempty(text)), 'timestamp'), zone) }} end
{%- endmacro %}

{% macro sale_date(text, zone) -%}
coalesce({{ try_date(text) }}, {{ business_date(to_instant(text, zone)) }})
{%- endmacro %}

{% macro microseconds(text) -%}
{{ return(adapter.dispatch('microseconds')(text)) }}
{%- endmacro %}

{# Only a text of more than 26 characters has more than six digits of a second; the search costs more than to count. #}
{% macro default__microseconds(text) -%}
case when length({{ text }}) > 26 then regexp_replace({{ text }}, '([.][0-9]{6})[0-9]+', '\1') else {{ text }} end
{%- endmacro %}
{# Spark wants seconds before an offset. #}
{% macro spark__microseconds(text) -%}
regexp_replace(regexp_replace({{ text }}, '^(.{16})([Z+-])', '$1:00$2'), '([.][0-9]{6})[0-9]+', '$1')
{%- endmacro %}
{% macro snowflake__microseconds(text) -%} regexp_replace({{ text }}, '([.][0-9]{6})[0-9]+', '\\1') {%- endmacro %}

{% macro instant_type() -%}
{{ return(adapter.dispatch('instant_type')()) }}
{%- endmacro %}

{% macro default__instant_type() -%} timestamptz {%- endmacro %}
{% macro spark__instant_type() -%} timestamp {%- endmacro %}

{% macro date_pattern() -%}
(19|2[0-9])[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))
{%- raw %}|((19|2[0-9])(0[48]|[2468][048]|[13579][26])|2[048]00)-02-29{% endraw -%}
{%- endmacro %}

{% macro local_pattern() -%}
({{ date_pattern() }})([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?)?
{%- endmacro %}

{% macro instant_pattern() -%}
({{ date_pattern() }})[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)
{%- endmacro %}
