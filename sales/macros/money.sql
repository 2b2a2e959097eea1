{# Money: DECIMAL(18,4), exact from end to end. Arguments are SQL expressions, given as strings. What each macro gives is
   said in macros.yml. #}

{% macro try_decimal(value) -%}
{{ return(adapter.dispatch('try_decimal')(value)) }}
{%- endmacro %}

{% macro default__try_decimal(value) -%} try_cast({{ decimal_text(value) }} as decimal(18,4)) {%- endmacro %}
{% macro postgres__try_decimal(value) -%}
case when abs(cast({{ decimal_text(value) }} as decimal)) < 99999999999999.99995
  then cast({{ decimal_text(value) }} as decimal(18,4)) end
{%- endmacro %}
{% macro snowflake__try_decimal(value) -%} try_to_decimal({{ decimal_text(value) }}, 18, 4) {%- endmacro %}

{% macro try_times(amount, number) -%}
{{ return(adapter.dispatch('try_times')(amount, number)) }}
{%- endmacro %}

{# In 64 bits (18 digits) DuckDB's product of an amount and a small number would be an error, not NULL. #}
{% macro duckdb__try_times(amount, number) -%}
try_cast(cast({{ amount }} as decimal(19,4)) * ({{ number }}) as decimal(18,4))
{%- endmacro %}
{% macro default__try_times(amount, number) -%}
case when abs(({{ amount }}) * ({{ number }})) < 99999999999999.99995
  then cast(({{ amount }}) * ({{ number }}) as decimal(18,4)) end
{%- endmacro %}

{% macro try_rate(value) -%}
{{ return(adapter.dispatch('try_rate')(value)) }}
{%- endmacro %}

{% macro default__try_rate(value) -%} try_cast({{ decimal_text(value) }} as decimal(18,12)) {%- endmacro %}
{% macro postgres__try_rate(value) -%}
case when abs(cast({{ decimal_text(value) }} as decimal)) < 999999.9999999999995
  then cast({{ decimal_text(value) }} as decimal(18,12)) end
{%- endmacro %}
{% macro snowflake__try_rate(value) -%} try_to_decimal({{ decimal_text(value) }}, 18, 12) {%- endmacro %}

{% macro decimal_text(value) -%}
case when {{ text_matches(nonempty(value), decimal_pattern()) }} then {{ nonempty(value) }} end
{%- endmacro %}

{% macro decimal_pattern() -%}
[+-]?([0-9]{1,30}[.]?[0-9]{0,30}|[.][0-9]{1,30}|([0-9][.]?[0-9]{0,16}|[.][0-9]{1,17})[eE][+-]?[0-9]{1,3})
{%- endmacro %}

{% macro exact_avg(value) -%}
cast((case when sum({{ value }}) < 0 then -1 else 1 end) * cast({{ int_div(
  '2 * ' ~ units('abs(sum(' ~ value ~ '))') ~ ' + count(' ~ value ~ ')', 'nullif(2 * count(' ~ value ~ '), 0)'
) }} as decimal(18,0)) * cast(0.0001 as decimal(4,4)) as decimal(18,4))
{%- endmacro %}

{% macro units(value) -%}
{{ return(adapter.dispatch('units')(value)) }}
{%- endmacro %}

{# DuckDB divides 64 bits three times as fast as 128, and 64 hold twice the greatest sum. #}
{% macro duckdb__units(value) -%} cast(cast({{ value }} as decimal(22,4)) * 10000 as bigint) {%- endmacro %}
{% macro default__units(value) -%} cast(cast({{ value }} as decimal(22,4)) * 10000 as decimal(38,0)) {%- endmacro %}

{% macro int_div(dividend, divisor) -%}
{{ return(adapter.dispatch('int_div')(dividend, divisor)) }}
{%- endmacro %}

{% macro duckdb__int_div(dividend, divisor) -%} (({{ dividend }}) // ({{ divisor }})) {%- endmacro %}
{% macro default__int_div(dividend, divisor) -%} div({{ dividend }}, {{ divisor }}) {%- endmacro %}
{% macro spark__int_div(dividend, divisor) -%} (({{ dividend }}) div ({{ divisor }})) {%- endmacro %}
{# Its quotient has six decimals, rounded: without the remainder it is whole. #}
{% macro snowflake__int_div(dividend, divisor) -%}
((({{ dividend }}) - mod({{ dividend }}, {{ divisor }})) / ({{ divisor }}))
{%- endmacro %}
