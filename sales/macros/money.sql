{# Money: DECIMAL(18,4), exact from end to end. Arguments are SQL expressions, given as strings. #}

{# Text or a number as DECIMAL(18,4), rounded once, half away from zero. NULL for what is no number, NaN, infinity, and
   what does not fit. A number with an exponent has at most 17 digits: as the shortest text of a float has. #}
{% macro try_decimal(value) -%}
{{ return(adapter.dispatch('try_decimal')(value)) }}
{%- endmacro %}

{% macro duckdb__try_decimal(value) -%}
try_cast({{ decimal_text(value) }} as decimal(18,4))
{%- endmacro %}

{% macro default__try_decimal(value) -%}
case when abs(cast({{ decimal_text(value) }} as decimal)) < 99999999999999.99995
  then cast({{ decimal_text(value) }} as decimal(18,4)) end
{%- endmacro %}

{% macro spark__try_decimal(value) -%}
try_cast({{ decimal_text(value) }} as decimal(18,4))
{%- endmacro %}

{% macro snowflake__try_decimal(value) -%}
try_to_decimal({{ decimal_text(value) }}, 18, 4)
{%- endmacro %}

{# An amount times a whole number, as DECIMAL(18,4). NULL where it does not fit. #}
{% macro try_times(amount, number) -%}
{{ return(adapter.dispatch('try_times')(amount, number)) }}
{%- endmacro %}

{% macro duckdb__try_times(amount, number) -%}
try_cast(({{ amount }}) * ({{ number }}) as decimal(18,4))
{%- endmacro %}

{% macro default__try_times(amount, number) -%}
case when abs(({{ amount }}) * ({{ number }})) < 100000000000000
  then cast(({{ amount }}) * ({{ number }}) as decimal(18,4)) end
{%- endmacro %}

{# The text of a number, without white space; NULL when it is none. #}
{% macro decimal_text(value) -%}
case when {{ text_matches(nonempty(value), decimal_pattern()) }} then {{ nonempty(value) }} end
{%- endmacro %}

{% macro decimal_pattern() -%}
[+-]?([0-9]{1,30}[.]?[0-9]{0,30}|[.][0-9]{1,30}|([0-9][.]?[0-9]{0,16}|[.][0-9]{1,17})[eE][+-]?[0-9]{1,3})
{%- endmacro %}

{# The average of a group, SUM / COUNT, rounded half away from zero to 4 decimals, computed from integer units. #}
{% macro exact_avg(value) -%}
cast((case when sum({{ value }}) < 0 then -1 else 1 end) * cast({{ int_div(
  '2 * ' ~ units('abs(sum(' ~ value ~ '))') ~ ' + count(' ~ value ~ ')', 'nullif(2 * count(' ~ value ~ '), 0)'
) }} as decimal(18,0)) * cast(0.0001 as decimal(4,4)) as decimal(18,4))
{%- endmacro %}

{# An amount as a whole number of ten-thousandths. #}
{% macro units(value) -%}
{{ return(adapter.dispatch('units')(value)) }}
{%- endmacro %}

{# DuckDB divides 64 bits three times as fast as 128, and 64 hold twice the greatest sum. #}
{% macro duckdb__units(value) -%} cast(cast({{ value }} as decimal(22,4)) * 10000 as bigint) {%- endmacro %}
{% macro default__units(value) -%} cast(cast({{ value }} as decimal(22,4)) * 10000 as decimal(38,0)) {%- endmacro %}

{# The whole part of a quotient of two whole numbers that are not negative. #}
{% macro int_div(dividend, divisor) -%}
{{ return(adapter.dispatch('int_div')(dividend, divisor)) }}
{%- endmacro %}

{% macro duckdb__int_div(dividend, divisor) -%} (({{ dividend }}) // ({{ divisor }})) {%- endmacro %}
{% macro default__int_div(dividend, divisor) -%} div({{ dividend }}, {{ divisor }}) {%- endmacro %}
{% macro spark__int_div(dividend, divisor) -%} (({{ dividend }}) div ({{ divisor }})) {%- endmacro %}
{% macro snowflake__int_div(dividend, divisor) -%} trunc(({{ dividend }}) / ({{ divisor }})) {%- endmacro %}
