{# What makes a row no sale, said once: staging rejects by these rules, the first that is broken giving the reason, and the
   data test `follows_the_rules` holds `sales` to them. Each: its column, when a row breaks it, the reason; then the reason
   where there is a text that does not cast. #}
{% macro sale_rules() -%}
{{ return([
  ('sale_id', nonempty('sale_id') ~ ' is null', 'sale id missing'),
  ('date', 'date is null', 'date missing', 'date not readable'),
  ('date', "date not between date '1900-01-01' and date '2999-12-31'", 'date not from 1900 to 2999'),
  ('country', 'country is null', 'country missing'),
  ('city', 'city is null', 'city missing'),
  ('salesman_id', 'salesman_id is null', 'salesman missing'),
  ('amount', 'amount is null', 'amount missing', 'amount not a number'),
  ('currency', 'currency is null', 'currency missing'),
  ('currency', "currency <> '" ~ var('currency') ~ "'", 'currency is not ' ~ var('currency')),
]) }}
{%- endmacro %}

{# The rules of the source's own come first: an order without its customer has no city either, and says why. #}
{% macro reject_reason(own=[], texts={}) -%}
case
{%- for breaks, reason in own %} when {{ breaks }} then '{{ reason }}' {% endfor -%}
{%- for rule in sale_rules() -%}
  {%- if rule | length > 3 and rule[0] in texts %} when {{ rule[1] }} and {{ texts[rule[0]] }} is not null then '{{ rule[3] }}' {%- endif %}
  when {{ rule[1] }} then '{{ rule[2] }}'
{%- endfor %}
end
{%- endmacro %}
